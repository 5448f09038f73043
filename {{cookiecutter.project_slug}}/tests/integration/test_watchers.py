"""Whoever watches may stop watching: a log that nobody reads and a Sentry that does not answer stop no job."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest

from service.jobs import State
from service.queues import QUEUES
from tests.support.callers import Api, Callers
from tests.support.door import PATH
from tests.support.stack import Role, Stack, free_port, until

pytestmark = pytest.mark.slow

# Linux; elsewhere a pipe is as large as it is, and takes longer to fill.
SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)


class Reader:
    """The end of a log that is a pipe, which is read when the test says so."""

    def __init__(self, stack: Stack, number: int, name: str) -> None:
        path = stack.directory / f"{number}-{name}.log"
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if SET_PIPE_SIZE is not None:
            fcntl.fcntl(self._descriptor, SET_PIPE_SIZE, 4096)
        self._data = b""

    def read(self) -> list[dict[str, Any]]:
        """What came so far, a line each."""
        with suppress(BlockingIOError):
            while data := os.read(self._descriptor, 65536):
                self._data += data
        return [json.loads(line) for line in self._data.splitlines(keepends=True) if line.endswith(b"\n")]

    def close(self) -> None:
        """Read no more."""
        os.close(self._descriptor)


class Unheard(Api):
    """An API whose log says nothing to whoever waits for it."""

    def start(self) -> Role:
        """Start it, and wait until it takes connections."""
        self.role = self._stack.start("api", ready=False, LOG_LEVEL="DEBUG", **self._environment)
        host, _, port = self.url.removeprefix("http://").partition(":")

        def listens() -> bool:
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                return True
            return False

        until(listens)
        return self.role


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_log_that_nobody_reads_stops_no_job_and_says_later_what_is_missing(stack: Stack, pool: str) -> None:
    stack.environment["QUEUE_FAST_POOL"] = pool
    readers = [Reader(stack, 0, "worker-fast"), Reader(stack, 1, "api")]
    worker = stack.start("worker", "fast", ready=False, LOG_LEVEL="DEBUG")
    api = Unheard(stack)
    with Callers(api, "spills.chatter", {"lines": 50}) as callers:
        callers.more(600, seconds=180)
    assert {order.status for order in callers.orders} == {202}
    ended = stack.ended(*callers.accepted, seconds=180)
    assert {row.state for row in ended} == {State.SUCCEEDED}
    # A child has said more than it may keep, so some of it is missing, and a line says how much.
    until(lambda: [line for line in readers[0].read() if "lines lost" in line["event"]])
    until(lambda: [line for line in readers[1].read() if line["event"] == "request served"])
    # Nobody reads again, and both are told to end.
    assert [worker.stop(), api.role.stop()] == [0, 0]
    for reader in readers:
        reader.close()


@contextmanager
def refused() -> Iterator[int]:
    """Nobody listens."""
    yield free_port()


@contextmanager
def silent() -> Iterator[int]:
    """It takes what it is sent, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening.getsockname()[1]


@contextmanager
def vanished() -> Iterator[int]:
    """Nobody is there to say so: the one place in its queue is taken, and whoever comes next hears nothing."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=0)
    with listening, socket.create_connection(listening.getsockname()):
        yield listening.getsockname()[1]


@pytest.mark.parametrize("away", [refused, silent, vanished])
def test_a_sentry_that_is_away_stops_no_job_and_no_end(
    stack: Stack, away: Callable[[], AbstractContextManager[int]]
) -> None:
    with away() as port:
        stack.environment["SENTRY_DSN"] = f"http://key@127.0.0.1:{port}/1"
        worker, api = stack.start("worker", "fast"), Api(stack)
        with api.client() as client:
            faults = [client.post(PATH, json={"fault": "x"}).status_code for _ in range(150)]
        assert faults == [500] * 150
        # More than Sentry's own queue holds.
        rows = [stack.submit("trials.broken") for _ in range(250)] + [stack.submit("trials.deadly", times=1)]
        ended = stack.ended(*(row.id for row in rows), seconds=120)
        assert [row.state for row in ended] == [State.FAILED] * 250 + [State.SUCCEEDED]
        began = time.monotonic()
        assert [worker.stop(), api.role.stop()] == [0, 0]
        # The platform kills after the grace and ten seconds; a second of these is Sentry's.
        assert time.monotonic() - began < 2 * QUEUES["fast"].grace
    assert worker.log.read_text().count("job is a dead letter") == 250

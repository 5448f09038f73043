"""What the API answers while a store is frozen, refuses, or is nowhere to be reached: at once, and the truth."""

import os
import re
import signal
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.contract.conftest import Service, opened
from tests.support.front import Front
from tests.support.stack import Stack, until

pytestmark = pytest.mark.slow

# Seconds: what is promised of health, and of other requests while the database is away.
HEALTH, OTHERS = 1.0, 2.0

FAULTS = ["frozen", "refused", "unreachable"]


class Store(Front):
    """The way to a store, on which it can be lost."""

    def freeze(self) -> None:
        """Be as a server that was stopped: the kernel takes what is said, and nobody reads it."""
        self._thawed = threading.Event()
        self._loop.call_soon_threadsafe(self._thawed.wait)

    def thaw(self) -> None:
        """Go on, with all that was said meanwhile."""
        self._thawed.set()


@contextmanager
def lost(store: Store, how: str) -> Iterator[None]:
    """Lose the store for the length of a block; one that refuses does so to the end."""
    begin = {"frozen": store.freeze, "refused": lambda: store.__exit__(), "unreachable": store.vanish}
    end: dict[str, Callable[[], None]] = {"frozen": store.thaw, "refused": lambda: None, "unreachable": store.appear}
    begin[how]()
    try:
        yield
    finally:
        end[how]()


def usual(ask: Callable[[], httpx.Response], times: int = 5) -> tuple[float, httpx.Response]:
    """The seconds that an answer takes, as the median of some, and the last of them."""
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        answer = ask()
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds), answer


def healthy(client: httpx.Client) -> httpx.Response:
    """Hold health to its promise; gives what readiness said."""
    seconds, live = usual(lambda: client.get("/health/live"))
    assert (live.status_code, live.json()["status"]) == (200, "alive")
    assert seconds < HEALTH
    seconds, ready = usual(lambda: client.get("/health/ready"))
    assert seconds < HEALTH
    return ready


@pytest.mark.parametrize("how", FAULTS)
def test_a_broker_that_is_away(stores: Stack, how: str) -> None:
    """Health answers in time, the service is ready, and work is accepted."""
    with ExitStack() as stack:
        store = Store(stores.broker.port)
        store.__enter__()
        if how != "refused":
            stack.callback(store.__exit__)
        api = stack.enter_context(opened(stores, BROKER_URL=f"redis://127.0.0.1:{store.port}/0"))
        with api.caller("operator") as client:
            until(lambda: client.get("/health/ready").json()["broker"] == "up")
            with lost(store, how):
                until(lambda: client.get("/health/ready").json()["broker"] == "down")
                ready = healthy(client)
                assert (ready.status_code, ready.json()["broker"], ready.json()["database"]) == (200, "down", "up")
                assert client.get("/v1/queues").status_code == 200
            if how != "refused":
                until(lambda: client.get("/health/ready").json()["broker"] == "up")


def test_a_broker_whose_process_is_stopped(stores: Stack, service: Service) -> None:
    """SIGSTOP of the real process is seen as what it is, and is over when it is over."""
    with service.caller() as client:
        os.kill(stores.broker.pid, signal.SIGSTOP)
        try:
            until(lambda: client.get("/health/ready").json()["broker"] == "down")
            assert healthy(client).status_code == 200
        finally:
            os.kill(stores.broker.pid, signal.SIGCONT)
        until(lambda: client.get("/health/ready").json()["broker"] == "up")


@pytest.mark.parametrize("how", FAULTS)
def test_a_database_that_is_away(stores: Stack, how: str) -> None:
    """Health answers in time and is not ready, other requests are 503 in time, however many there are at once."""
    match = re.fullmatch(r"(postgresql://.*@[^:/]+):(\d+)(/.*)", stores.environment["DATABASE_URL"])
    if match is None:
        pytest.skip("SQLite is a file; a lock is what it has instead of an absence")
    with ExitStack() as stack:
        store = Store(int(match[2]))
        store.__enter__()
        if how != "refused":
            stack.callback(store.__exit__)
        api = stack.enter_context(opened(stores, DATABASE_URL=f"{match[1]}:{store.port}{match[3]}"))
        with api.caller("operator") as client:
            assert client.get("/v1/jobs").status_code == client.get("/health/ready").status_code == 200
            with lost(store, how):
                until(lambda: client.get("/health/ready").is_error)
                ready = healthy(client)
                assert (ready.status_code, ready.json()["database"], ready.json()["schema"]) == (503, "down", "unknown")
                seconds, refused = usual(lambda: client.get("/v1/jobs"), 3)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert seconds < OTHERS
                with ThreadPoolExecutor(30) as callers:
                    began = time.monotonic()
                    asked = [callers.submit(client.post, "/v1/queues/fast/pause") for _ in range(30)]
                    healthy(client)
                    assert {each.result().status_code for each in asked} == {503}
                    # Were they to wait for one another, it would be as many times longer.
                    assert time.monotonic() - began < 5 * OTHERS
            if how != "refused":
                until(lambda: client.get("/health/ready").status_code == 200)
                until(lambda: client.get("/v1/jobs").status_code == 200)


def test_a_database_that_is_locked(stores: Stack, service: Service) -> None:
    """SQLite's one writer keeps the others waiting, for seconds at most; reading and health go on."""
    url = stores.environment["DATABASE_URL"]
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL locks rows")
    with (
        sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None) as holder,
        service.caller("operator") as client,
        ThreadPoolExecutor(8) as callers,
    ):
        holder.execute("BEGIN IMMEDIATE")
        try:
            asked = [callers.submit(client.post, "/v1/queues/fast/pause") for _ in range(8)]
            ready = healthy(client)
            assert ready.status_code == 200
            refused = [each.result() for each in asked]
        finally:
            holder.execute("ROLLBACK")
        assert {answer.status_code for answer in refused} == {503}
        assert client.post("/v1/queues/fast/resume").status_code == 200

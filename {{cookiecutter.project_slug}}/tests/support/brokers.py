"""The broker of one test: an embedded Redis, or the way to the one that TEST_BROKER_URL names."""

import os
import signal
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
import redis
from kombu import Connection

from local.broker import HOST, Broker
from service.jobs.doorbell import broker_queue
from service.queues import QUEUES
from tests.support.front import Front
from tests.support.ports import free_port

# What a test does to a Redis, which no other broker knows.
OF_REDIS = "it breaks a Redis"


class Embedded(Broker):
    """A Redis of the test's own."""

    def freeze(self) -> None:
        """Answer nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Answer again."""
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Forget every message."""
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def cut(self) -> None:
        """Close every connection."""
        with redis.Redis(port=self.port) as client:
            client.client_kill_filter(_type="normal")


class Elsewhere:
    """A broker that many tests use: what of it a test may break is the way there, and what is in its queues."""

    def __init__(self, url: str) -> None:
        self._url, given = url, urlsplit(url)
        self._target, self._host = given.port or 5672, given.hostname or HOST
        self._front: Front | None = None
        self._port = free_port()
        login, at, _ = given.netloc.rpartition("@")
        self.url = given._replace(netloc=f"{login}{at}{HOST}:{self._port}").geturl()

    @property
    def port(self) -> NoReturn:
        """It has one, where no Redis is."""
        pytest.skip(OF_REDIS)

    @property
    def pid(self) -> NoReturn:
        """It has one, of which the other tests' messages are."""
        pytest.skip(OF_REDIS)

    def start(self) -> None:
        """Be there, with what was there when it went."""
        if self._front is None:
            self._front = Front(self._target, host=self._host, port=self._port)
            self._front.__enter__()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Be gone, however: whoever connects is refused."""
        if self._front is not None:
            self._front.__exit__()
            self._front = None

    def freeze(self) -> None:
        """Answer nobody."""
        self._there().vanish()

    def thaw(self) -> None:
        """Answer again."""
        self._there().appear()

    def wipe(self) -> None:
        """Forget every message."""
        with Connection(self._url) as connection:
            for queue in (broker_queue(name, delay) for name in QUEUES for delay in (0, 1)):
                bound = queue(connection.default_channel)
                bound.declare()
                bound.purge()

    def cut(self) -> None:
        """Close every connection."""
        self._there().switch(self._target)

    def _there(self) -> Front:
        assert self._front is not None
        return self._front


def make(directory: Path) -> Embedded | Elsewhere:
    """The broker of a test whose files are in `directory`."""
    url = os.environ.get("TEST_BROKER_URL")
    return Elsewhere(url) if url else Embedded(directory, free_port())

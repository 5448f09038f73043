"""Callers of the API: clients that order one job after the other, and what became of each order."""

import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from service.api.tokens import mint
from tests.support.door import PATH
from tests.support.stack import Role, Stack, free_port, until

# Seconds that a caller waits for an answer, and after it got none.
PATIENCE = 20.0
PAUSE_AWAY = 1.0


@dataclass(frozen=True)
class Order:
    """One request: its key, the answer's status and media type or the error instead, the job, and the seconds taken."""

    key: str
    sent_at: float
    seconds: float
    status: int | None = None
    said: str = ""
    job_id: str | None = None


class Api:
    """The API of a stack, at an address that stays although its process is killed and started again."""

    def __init__(self, stack: Stack, **environment: str) -> None:
        port = free_port()
        token, entry = mint("shop", ("jobs:read", "jobs:write"), name="callers")
        self.url, self._token, self._stack = f"http://127.0.0.1:{port}", token, stack
        self._environment = {"PORT": f"{port}", "API_TOKENS": entry, "DOOR": "open", **environment}
        self.role = self.start()

    def start(self) -> Role:
        """Start its process, and wait until it answers."""
        self.role = role = self._stack.start("api", ready=False, **self._environment)
        until(lambda: role.said("api listening") or role.process.poll() is not None)
        assert role.process.poll() is None, role.log.read_text()
        return role

    def client(self) -> httpx.Client:
        """Connect to it, with a token."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self._token}"}, timeout=PATIENCE)


class Callers:
    """Several clients at once, each on a connection of its own, until the block ends."""

    def __init__(
        self, api: Api, task: str = "trials.echo", arguments: Mapping[str, Any] | None = None, *, pause: float = 0.0
    ) -> None:
        self.orders: list[Order] = []
        self._api, self._task, self._arguments, self._pause = api, task, arguments or {"value": "x"}, pause
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(8)]

    def order(self, client: httpx.Client, key: str) -> Order:
        """Send one request."""
        began = time.monotonic()
        body = {"task": self._task, "arguments": dict(self._arguments)}
        try:
            answer = client.post(PATH, json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError as error:
            return Order(key, began, time.monotonic() - began, said=type(error).__name__)
        seconds, said = time.monotonic() - began, answer.headers.get("content-type", "")
        job_id = answer.json()["id"] if answer.status_code == httpx.codes.ACCEPTED else None
        return Order(key, began, seconds, answer.status_code, said, job_id)

    def more(self, count: int, seconds: float = 60.0) -> list[Order]:
        """Wait for so many orders that are sent from now on."""
        present = time.monotonic()
        until(lambda: len(self.since(present)) >= count, seconds=seconds)
        return self.since(present)

    def since(self, moment: float) -> list[Order]:
        """The orders that were sent after a moment and have come to something."""
        return [order for order in self.orders if order.sent_at >= moment]

    @property
    def accepted(self) -> list[str]:
        """The ids of the jobs that were answered with 202."""
        return [order.job_id for order in self.orders if order.job_id]

    def _run(self) -> None:
        with self._api.client() as client:
            while not self._ended.wait(self._pause):
                self.orders.append(order := self.order(client, f"order-{next(self._numbers)}"))
                if order.status is None:
                    self._ended.wait(PAUSE_AWAY)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

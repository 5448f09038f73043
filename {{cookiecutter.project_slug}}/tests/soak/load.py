"""Submits the orders at a bounded rate, by both doors, and insists with the same key until each is accepted."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

import httpx
from sqlalchemy.exc import SQLAlchemyError

from local.example import Example, example
from service.errors import WrongState
from service.jobs import operate, submit
from tests.soak.orders import Order, direct, over_http

# Seconds: between two orders at each door, between two tries, and for one answer of the API.
DIRECT_SECONDS = 0.45
HTTP_SECONDS = 1.0
RETRY_SECONDS = 0.5
ANSWER_SECONDS = 5.0

CLIENT = "soak"

# What is asked a second time although it was accepted, as a client does whose answer was lost.
ASKED_TWICE = 0.1


class Away(Exception):
    """The store or the API cannot answer now."""


@dataclass(frozen=True)
class Accepted:
    """An order that was answered with 202, or that `submit` returned."""

    order: Order
    job_id: str


class Load:
    """What was wanted, and what was accepted."""

    def __init__(self, seed: int, api: httpx.Client) -> None:
        self.accepted: list[Accepted] = []
        self.given_up: list[Order] = []
        self.faults: list[str] = []
        self.tries: Counter[str] = Counter()
        self._api, self._random = api, Random(seed)
        self._cancels: list[tuple[float, str]] = []
        self._ended, self._hopeless = threading.Event(), threading.Event()
        doors: dict[str, Callable[[], None]] = {
            "direct": lambda: self._submit(direct(Random(seed)), self._direct, DIRECT_SECONDS),
            "cancel": self._cancel,
        }
        if shown := example():
            doors["http"] = lambda: self._submit(
                over_http(Random(seed), shown), partial(self._over_http, shown), HTTP_SECONDS
            )
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in doors.items()]

    def start(self) -> None:
        """Open the doors."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Want nothing more; what was asked and not yet accepted has so long."""
        self._ended.set()
        patience = threading.Timer(seconds, self._hopeless.set)
        patience.start()
        for thread in self._threads:
            thread.join()
        patience.cancel()

    def _submit(self, orders: Iterator[Order], door: Callable[[Order], str], pace: float) -> None:
        while not self._ended.wait(pace):
            order = next(orders)
            job_id = self._insist(order, door)
            if job_id is None:
                self.given_up.append(order)
                continue
            self.accepted.append(Accepted(order, job_id))
            if order.cancel_after is not None:
                self._cancels.append((time.monotonic() + order.cancel_after, job_id))
            if self._random.random() < ASKED_TWICE and (again := self._insist(order, door)) not in {job_id, None}:
                self.faults.append(f"key {order.key} gave job {job_id}, and asked again job {again}")

    def _insist(self, order: Order, door: Callable[[Order], str]) -> str | None:
        while not self._hopeless.is_set():
            self.tries[order.key] += 1
            try:
                return door(order)
            except Away:
                time.sleep(RETRY_SECONDS)
            except Exception as error:
                self.faults.append(f"order {order.key} ({order.kind}) was refused: {type(error).__name__}: {error}")
                return None
        return None

    def _direct(self, order: Order) -> str:
        task = {"scheduled": "quick"}.get(order.kind, order.kind)
        try:
            return submit(
                f"chores.{task}", order.kwargs, client=CLIENT, idempotency_key=order.key, run_at=order.run_at
            ).id
        except SQLAlchemyError as error:
            raise Away from error

    def _over_http(self, shown: Example, order: Order) -> str:
        body = dict(order.kwargs) | ({"run_at": order.run_at.isoformat()} if order.run_at else {})
        answer = self._call(shown.path, headers={"Idempotency-Key": order.key}, json=body)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise ValueError(f"{answer.status_code} {answer.text[:200]}")
        return str(answer.json()["id"])

    def _call(self, path: str, **how: object) -> httpx.Response:
        try:
            answer = self._api.post(path, **how)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            raise Away from error
        if answer.is_server_error:
            raise Away
        return answer

    def _cancel(self) -> None:
        """Cancel what is due, by turns over HTTP and directly, until nothing more is ordered."""
        turn = 0
        while self._threads[0].is_alive() or self._cancels:
            time.sleep(0.1)
            for due, job_id in [entry for entry in self._cancels if entry[0] <= time.monotonic()]:
                turn += 1
                try:
                    self._cancel_one(job_id, over_api=bool(turn % 2))
                except Away:
                    if not self._hopeless.is_set():
                        continue
                self._cancels.remove((due, job_id))

    def _cancel_one(self, job_id: str, *, over_api: bool) -> None:
        if over_api:
            answer = self._call(f"/v1/jobs/{job_id}/cancel")
            if answer.status_code not in {httpx.codes.OK, httpx.codes.ACCEPTED, httpx.codes.CONFLICT}:
                self.faults.append(f"job {job_id}: to cancel it was answered with {answer.status_code} {answer.text}")
            return
        try:
            operate.cancel(job_id, by=CLIENT, client=CLIENT)
        except WrongState:
            return
        except SQLAlchemyError as error:
            raise Away from error

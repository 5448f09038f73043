"""Submits the orders at a bounded rate, by both doors, and insists with the same key until each is accepted."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from random import Random

from local.example import example
from tests.soak.doors import Api, Away, Direct, Door, Refused
from tests.soak.orders import Order, direct, over_http

# Seconds: between two orders at each door, and between two tries.
DIRECT_SECONDS = 0.45
HTTP_SECONDS = 1.0
RETRY_SECONDS = 0.5

# What is asked a second time although it was accepted, as a client does whose answer was lost.
ASKED_TWICE = 0.1


@dataclass(frozen=True)
class Accepted:
    """An order that was answered with 202, or that `submit` returned."""

    order: Order
    job_id: str


class Load:
    """What was wanted, and what was accepted."""

    def __init__(self, seed: int, url: str, token: str) -> None:
        self.accepted: list[Accepted] = []
        self.given_up: list[Order] = []
        self.faults: list[str] = []
        self.tries: Counter[str] = Counter()
        self.api = Api(url, token, shown := example())
        self._direct, self._random = Direct(), Random(seed)
        self._cancels: list[tuple[float, str]] = []
        self._ended, self._hopeless = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._submit, args=(direct(Random(seed)), self._direct, DIRECT_SECONDS)),
            threading.Thread(target=self._cancel),
        ]
        if shown:
            orders = over_http(Random(seed), shown)
            self._threads.append(threading.Thread(target=self._submit, args=(orders, self.api, HTTP_SECONDS)))

    def start(self) -> None:
        """Begin to order."""
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def stop(self, seconds: float) -> None:
        """Want nothing more; what was asked and not yet accepted has so long."""
        self._ended.set()
        patience = threading.Timer(seconds, self._hopeless.set)
        patience.start()
        for thread in self._threads:
            thread.join()
        patience.cancel()

    def _submit(self, orders: Iterator[Order], door: Door, pace: float) -> None:
        while not self._ended.wait(pace):
            order = next(orders)
            job_id = self._insist(order, door)
            if job_id is None:
                self.given_up.append(order)
                continue
            self.accepted.append(Accepted(order, job_id))
            if order.cancel_after is not None:
                self._cancels.append((time.monotonic() + order.cancel_after, job_id))
            asked = order.repeats and self._random.random() < ASKED_TWICE
            if asked and (again := self._insist(order, door)) not in {job_id, None}:
                self.faults.append(f"key {order.key} gave job {job_id}, and asked again job {again}")

    def _insist(self, order: Order, door: Door) -> str | None:
        while not self._hopeless.is_set():
            self.tries[order.key] += 1
            try:
                return door.submit(order)
            except Away:
                time.sleep(RETRY_SECONDS)
            except Exception as error:
                self.faults.append(f"order {order.key} ({order.kind}) was refused: {type(error).__name__}: {error}")
                return None
        return None

    def _cancel(self) -> None:
        """Cancel what is due, by turns over HTTP and directly, until nothing more is ordered."""
        doors: Iterator[Door] = cycle((self.api, self._direct))
        while not self._ended.is_set() or self._cancels:
            time.sleep(0.1)
            for due, job_id in [entry for entry in self._cancels if entry[0] <= time.monotonic()]:
                try:
                    next(doors).cancel(job_id)
                except Away:
                    if not self._hopeless.is_set():
                        continue
                except Refused as error:
                    self.faults.append(f"job {job_id} was not cancelled: {error}")
                self._cancels.remove((due, job_id))

"""Looking whether a dependency answers, without ever waiting long for it."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

# Seconds that one look may take, and that its outcome is good for.
PATIENCE = 0.7
FRESH = 1.0


class Probe(Generic[T]):
    """One dependency, looked at by one thread at a time: callers share its outcome, and a stuck one stays alone.

    The callers are those of one event loop.
    """

    def __init__(self, look: Callable[[], T], otherwise: T) -> None:
        self._look, self._otherwise = look, otherwise
        self._latest: Future[T] | None = None
        self._fresh_until = float("inf")

    async def __call__(self) -> T:
        """What the look gave, or `otherwise` when it failed or is not done in time."""
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._current())), PATIENCE)
        except TimeoutError:
            return self._otherwise

    def _current(self) -> Future[T]:
        """Give the look that is under way, or that was done a moment ago; begin one otherwise."""
        if self._latest is None or time.monotonic() > self._fresh_until:
            self._latest, self._fresh_until = Future(), float("inf")
            threading.Thread(target=self._run, args=(self._latest,), name="probe", daemon=True).start()
        return self._latest

    def _run(self, future: Future[T]) -> None:
        try:
            outcome = self._look()
        except Exception:
            outcome = self._otherwise
        self._fresh_until = time.monotonic() + FRESH
        future.set_result(outcome)

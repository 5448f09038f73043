"""Looking whether a dependency answers, without ever waiting long for it."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

# Seconds that one look may take, and that its outcome is good for.
PATIENCE = 0.8
FRESH = 1.0


class Probe(Generic[T]):
    """One dependency, looked at by one thread at a time: callers share its outcome, and a stuck one stays alone."""

    def __init__(self, look: Callable[[], T], otherwise: T) -> None:
        self._look = look
        self._otherwise = otherwise
        self._lock = threading.Lock()
        self._running: Future[T] | None = None
        self._seen: tuple[float, T] | None = None

    async def __call__(self) -> T:
        """What the look gave, or `otherwise` when it failed or is not done in time."""
        if self._seen and time.monotonic() - self._seen[0] < FRESH:
            return self._seen[1]
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._start())), PATIENCE)
        except TimeoutError:
            return self._otherwise

    def _start(self) -> Future[T]:
        with self._lock:
            if self._running is None:
                self._running = Future()
                threading.Thread(target=self._run, args=(self._running,), name="probe", daemon=True).start()
            return self._running

    def _run(self, future: Future[T]) -> None:
        try:
            outcome = self._look()
        except Exception:
            outcome = self._otherwise
        with self._lock:
            self._seen, self._running = (time.monotonic(), outcome), None
        future.set_result(outcome)

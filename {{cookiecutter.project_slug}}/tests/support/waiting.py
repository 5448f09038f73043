"""Waiting for something to become true, with a deadline instead of a hope."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(what: Callable[[], T], *, seconds: float = 20.0, every: float = 0.05) -> T:
    """The first true value of `what`.

    Raises:
        TimeoutError: with the last value, if there was none in time.
    """
    deadline = time.monotonic() + seconds
    while not (value := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected it to come true within {seconds:g} s, got: {value!r}")
        time.sleep(every)
    return value

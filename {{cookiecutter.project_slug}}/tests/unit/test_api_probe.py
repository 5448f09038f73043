"""Looking at a dependency that may be frozen."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from service.api.probe import PATIENCE, Probe


@pytest.fixture
def frozen() -> Iterator[threading.Event]:
    """What a look waits for; it is let go at the end."""
    event = threading.Event()
    yield event
    event.set()


def test_gives_what_was_seen() -> None:
    """A look that succeeds is the answer."""
    assert asyncio.run(Probe(lambda: "up", "down")()) == "up"


def test_a_failed_look_is_an_answer_too() -> None:
    """A look that raises gives the other answer."""
    assert asyncio.run(Probe(lambda: str(1 // 0), "down")()) == "down"


def test_a_frozen_dependency_is_not_waited_for(frozen: threading.Event) -> None:
    """The answer comes in time, and however often it is asked, one thread is stuck and no more."""
    probe = Probe(lambda: str(frozen.wait()), "down")
    before = set(threading.enumerate())

    async def ask() -> list[str]:
        return await asyncio.gather(*(probe() for _ in range(50)))

    started = time.monotonic()
    assert asyncio.run(ask()) == ["down"] * 50
    assert asyncio.run(ask()) == ["down"] * 50
    assert time.monotonic() - started < 10 * PATIENCE
    assert len(set(threading.enumerate()) - before) == 1


def test_it_recovers(frozen: threading.Event) -> None:
    """Once the dependency answers again, so does the probe."""
    probe = Probe(lambda: "up" if frozen.wait() else "", "down")
    assert asyncio.run(probe()) == "down"
    frozen.set()
    assert asyncio.run(probe()) == "up"


def test_many_callers_are_one_look() -> None:
    """What was seen a moment ago is not looked at again."""
    looks = itertools.count(1)
    probe = Probe(lambda: next(looks), 0)

    async def ask() -> list[int]:
        return [*await asyncio.gather(*(probe() for _ in range(20))), await probe()]

    assert asyncio.run(ask()) == [1] * 21

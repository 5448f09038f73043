"""Giving up on a database that is frozen."""

import asyncio
import time

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.api.deadline import Deadline
from service.api.probe import Probe
from service.errors import StoreUnavailable

FROZEN = Probe(lambda: "unknown", "unknown")
WELL = Probe(lambda: "current", "unknown")


class Work:
    """An application that takes its time, before its answer or after it has begun."""

    def __init__(self, before: float = 0.0, after: float = 0.0) -> None:
        self.before, self.after = before, after
        self.stopped = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, slowly."""
        try:
            await asyncio.sleep(self.before)
            await send({"type": "http.response.start"})
            await asyncio.sleep(self.after)
            await send({"type": "http.response.body"})
        except asyncio.CancelledError:
            self.stopped = True
            raise


def serve(work: Work, look: Probe[str]) -> list[str]:
    """Send one request; gives what was answered."""
    answered: list[str] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        answered.append(message["type"])

    asyncio.run(Deadline(work, look)({"type": "http"}, receive, send))
    return answered


def test_slow_work_goes_on_while_the_database_answers() -> None:
    """Slowness alone is no reason to give up."""
    assert len(serve(Work(before=1.3), WELL)) == 2


def test_a_frozen_database_is_given_up_within_two_seconds() -> None:
    """The caller is told, and the work is not waited for."""
    work, started = Work(before=60), time.monotonic()
    with pytest.raises(StoreUnavailable):
        serve(work, FROZEN)
    assert time.monotonic() - started < 2
    assert work.stopped


def test_an_answer_that_has_begun_is_finished() -> None:
    """Half an answer is worse than a late one."""
    assert len(serve(Work(after=1.3), FROZEN)) == 2


def test_what_the_grace_is_too_short_for_is_told_so() -> None:
    """At the end of the process the caller hears what to do, and not only that the connection is gone."""

    async def stop() -> None:
        serving = asyncio.create_task(serve_one())
        await asyncio.sleep(0.05)
        serving.cancel()
        with pytest.raises(StoreUnavailable, match="the service stops"):
            await serving

    async def serve_one() -> None:
        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            pytest.fail(f"expected no answer, got: {message}")

        await Deadline(work, WELL)({"type": "http"}, receive, send)

    work = Work(before=60)
    asyncio.run(stop())
    assert work.stopped

"""Aggregation on real workers: up to ten at once, or what there is, and each with an end of its own."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from service.jobs import Job, State, operate, query, submit
from service.jobs.shapes import batches
from tests.support.stack import Stack, until


@pytest.fixture(autouse=True)
def _fresh(running: Stack) -> Iterator[None]:
    rounds_file = running.directory / "rounds"
    rounds_file.unlink(missing_ok=True)
    yield


def rounds(stack: Stack) -> list[int]:
    """Of how many jobs each call was."""
    path = stack.directory / "rounds"
    return [len(line.split()) - 2 for line in path.read_text().splitlines()] if path.exists() else []


def order(number: int, **fields: Any) -> Job:
    """Order something to be carried."""
    return submit("rounds.carry", {"order": number, **fields})


def results(done: list[Job], key: str = "together") -> list[int]:
    """What the jobs gave."""
    return [row.result[key] for row in done if row.result is not None]


def test_ten_go_at_once(running: Stack) -> None:
    made = [order(number) for number in range(10)]
    done = running.ended(*(row.id for row in made))
    assert (rounds(running), results(done, "order")) == ([10], list(range(10)))
    for row in done:
        assert (row.state, row.carried_by, running.effects(row.id)) == (State.SUCCEEDED, None, [row.attempt])
        assert row.ended_at is not None
        assert row.ended_at - row.created_at < timedelta(seconds=1.5)


def test_fewer_go_after_their_time(running: Stack) -> None:
    made = [order(number) for number in range(3)]
    until(lambda: all(running.job(row.id).waiting_for == "company" for row in made))
    done = running.ended(*(row.id for row in made))
    assert (rounds(running), results(done)) == ([3], [3, 3, 3])
    first = min(done, key=lambda row: row.ended_at or row.created_at)
    assert first.ended_at is not None
    assert timedelta(seconds=1.4) < first.ended_at - made[0].created_at < timedelta(seconds=4)
    assert [row.failures for row in done] == [0, 0, 0]

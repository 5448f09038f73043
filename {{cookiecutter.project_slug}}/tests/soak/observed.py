"""The books that need more than the store: overlaps, memory, and how processes ended."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tests.soak import marks
from tests.soak.books import Book, Books
from tests.soak.supervisor import Supervisor
from tests.soak.witness import Witness
from tests.support.stack import Stack

# MiB that a parent process may grow by after it has settled, per hour and at least; children are replaced by policy.
GROWTH_AT_LEAST = 24.0
GROWTH_AN_HOUR = 60.0


def books(stack: Stack, kept: Books, witness: Witness, supervisor: Supervisor, limit: float) -> Iterator[Book]:
    """Every book about what was seen; all roles have been told to stop."""
    yield overlaps(stack, kept, witness, limit)
    yield memory(witness)
    yield Book("no process outlived its parent", sum(supervisor.ends.values()), supervisor.orphans())


def overlaps(stack: Stack, kept: Books, witness: Witness, limit: float) -> Book:
    """Two attempts at once are allowed where the earlier one's worker was silent longer than the heartbeat limit."""
    faults: list[str] = []
    apart: list[str] = []
    folder = stack.directory / "marks"
    for overlap in marks.overlaps(folder):
        first, second = overlap.attempts
        history = kept.events[overlap.job_id]
        started = {event.attempt: event for event in history if event.event == "started"}
        worker = started[first].by or ""
        again = datetime.fromtimestamp(overlap.at, UTC)
        silent = max(
            (
                seconds
                for since, seconds in witness.silences(worker)
                if since <= again and (again - since).total_seconds() <= seconds + limit
            ),
            default=0.0,
        )
        said = f"job {overlap.job_id}: attempts {first} and {second} at once; {worker} was silent for {silent:.1f} s"
        (apart if silent > limit else faults).append(said)
    return Book("attempts ran one at a time", marks.starts(folder), faults, apart)


def memory(witness: Witness) -> Book:
    """Parents live as long as nobody stops them, so theirs must stay as it is."""
    growth = witness.growth()
    faults = [
        f"{one.role} grew from {one.before:.0f} to {one.after:.0f} MiB in {one.seconds:.0f} s"
        for one in growth
        if one.after - one.before > max(GROWTH_AT_LEAST, GROWTH_AN_HOUR * one.seconds / 3600)
    ]
    return Book("memory of parents did not grow", len(growth), faults)

"""Schedules: each minute has its run, or was skipped or missed and is told so; none has two, and none comes early."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from random import Random

from sqlalchemy.exc import SQLAlchemyError

from service.database import standalone
from service.jobs import Job
from service.jobs.shapes import schedules
from service.queues import SCHEDULE
from service.schedules import Schedule
from tests.soak.books import JOB_ENDS, Book, Books
from tests.soak.doors import CLIENT
from tests.soak.orders import Order
from tests.support.stack import until

WEIGHT = 3
MINUTE = timedelta(minutes=1)

# One of each rule; this process fires and pauses them, those that submit their runs are the beats.
DECLARED = {
    f"soak-{overlap}": Schedule(task="chores.quick", cron="* * * * *", kwargs={"seconds": 0.5}, overlap=overlap)
    for overlap in ("skip", "queue", "allow")
}
SCHEDULE.update(DECLARED)

# A minute's beginning in a run's key, or in what is said of a run that was skipped; those that were fired have none.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ")

# In so long a time, a minute begins for which there is a beat.
LONG = timedelta(seconds=100)

# As for locks: one that waits for the end of another was begun before that end was.
WAITED = timedelta(seconds=0.2)


def settings(_: str) -> Mapping[str, str]:
    """What is declared, to every role."""
    return {"SCHEDULES": json.dumps({name: schedule.model_dump() for name, schedule in DECLARED.items()})}


def stop() -> None:
    """Pause them, as soon as the store is back from the last fault."""
    for name in DECLARED:
        until(partial(_paused, name), seconds=60)


def _paused(name: str) -> bool:
    try:
        schedules.pause(name, by=CLIENT)
    except SQLAlchemyError:
        return False
    return True


def order(random: Random, key: str) -> Order:
    """A run besides; asked again it is another."""
    return Order(key, "schedules", {"name": random.choice(("soak-queue", "soak-allow"))}, repeats=False)


def submit(order: Order) -> str:
    """Fire it."""
    return schedules.fire(order.kwargs["name"], by=CLIENT).id


def books(kept: Books) -> Iterator[Book]:
    """From the first minute to the last, each is accounted for."""
    faults, total = [], 0
    for name in DECLARED:
        runs = {due: row for row in kept.jobs.values() if (due := _due(name, row))}
        skipped = [due for due in _skipped(kept, name) if due not in runs]
        with standalone() as session:
            clock = session.get_one(schedules.Clock, name)
        every = sorted([*runs, *skipped])
        total += len(every)
        if not every and (clock.paused_at or clock.due_at) - min(row.created_at for row in kept.jobs.values()) > LONG:
            faults.append(f"schedule {name}: no run at all")
        if every and (wanted := (every[-1] - every[0]) // MINUTE + 1) > len(every) + clock.missed:
            faults.append(f"schedule {name}: expected {wanted} runs, got: {len(every)}, and {clock.missed} missed")
        faults += [f"schedule {name}: run of {due} twice" for due, other in pairwise(every) if due == other]
        early = ((due, row.created_at) for due, row in runs.items() if row.created_at < due)
        faults += [f"schedule {name}: run of {due} at {at}" for due, at in early]
        faults += _overlaps(kept, runs) if name == "soak-skip" else []
    yield Book("schedules: one run for each minute", total, faults)


def _due(name: str, row: Job) -> datetime | None:
    schedule, _, said = (row.idempotency_key or "").partition("@")
    return _moment(said) if schedule == name and row.client == "beat" else None


def _skipped(kept: Books, name: str) -> Iterator[datetime]:
    for row in kept.jobs.values():
        if (row.idempotency_key or "").startswith(f"{name}@"):
            said = (event.message or "" for event in kept.events[row.id] if event.event == "run skipped")
            yield from (due for message in said if (due := _moment(message)))


def _moment(text: str) -> datetime | None:
    found = MOMENT.search(text)
    return datetime.strptime(found[0], "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC) if found else None


def _overlaps(kept: Books, runs: Mapping[datetime, Job]) -> Iterator[str]:
    for (_, before), (due, after) in pairwise(sorted(runs.items())):
        ended = [event.at for event in kept.events[before.id] if event.event in JOB_ENDS]
        if not ended or after.created_at + WAITED < ended[0]:
            yield f"schedule soak-skip: run of {due} while job {before.id} had not ended"

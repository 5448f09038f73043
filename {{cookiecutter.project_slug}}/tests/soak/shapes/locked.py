"""Locks: of all jobs with the same key one runs at a time, over all workers."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

from service.jobs import submit as submit_one
from tests.soak.books import ATTEMPT_ENDS, Book, Books
from tests.soak.doors import CLIENT
from tests.soak.orders import Order

WEIGHT = 8
KEYS = ("account 1", "account 2")

# A claim that waits for the end of the one before it was begun before that end was.
WAITED = timedelta(seconds=0.2)


def order(random: Random, key: str) -> Order:
    """On either queue."""
    task = random.choice(("chores.quick", "chores.long"))
    return Order(key, "locked", {"task": task, "lock_key": random.choice(KEYS), "seconds": random.uniform(0.5, 1)})


def submit(order: Order) -> str:
    """One job."""
    task, lock_key, seconds = order.kwargs["task"], order.kwargs["lock_key"], order.kwargs["seconds"]
    return submit_one(task, {"seconds": seconds}, client=CLIENT, idempotency_key=order.key, lock_key=lock_key).id


def books(kept: Books) -> Iterator[Book]:
    """No attempt began while another of the same key had not ended."""
    faults, total = [], 0
    for key in KEYS:
        mine = {entry.job_id for entry in kept.load.accepted if entry.order.kwargs.get("lock_key") == key}
        spans = sorted(span for job_id in mine for span in _spans(kept, job_id))
        total += len(spans)
        faults += [
            f"lock {key}: job {after[2]} began at {after[0]}, and job {before[2]} ended at {before[1]}"
            for before, after in pairwise(spans)
            if after[0] + WAITED < before[1]
        ]
    yield Book("locks: one attempt at a time for each", total, faults)


def _spans(kept: Books, job_id: str) -> Iterator[tuple[datetime, datetime, str]]:
    said: dict[int, dict[str, datetime]] = defaultdict(dict)
    for event in kept.events[job_id]:
        if event.event == "started" or event.event in ATTEMPT_ENDS:
            said[event.attempt].setdefault("started" if event.event == "started" else "ended", event.at)
    for times in said.values():
        if len(times) == 2:
            yield times["started"], times["ended"], job_id

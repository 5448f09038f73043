"""Unique jobs: while one with a key waits or runs, whoever asks for another is given that one."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from random import Random

from service.jobs import submit as submit_one
from tests.soak.books import JOB_ENDS, Book, Books
from tests.soak.doors import CLIENT
from tests.soak.orders import Order

WEIGHT = 8
KEYS = ("sync 1", "sync 2")

# As for locks: one that waits for the end of another was begun before that end was.
WAITED = timedelta(seconds=0.2)


def order(random: Random, key: str) -> Order:
    """It may be given the job of an earlier one, and asked again a new one, since that has ended."""
    return Order(key, "unique", {"key": random.choice(KEYS), "seconds": random.uniform(0.5, 2)}, repeats=False)


def submit(order: Order) -> str:
    """One job, or the one that there is."""
    task, seconds = "chores.long", order.kwargs["seconds"]
    key = order.kwargs["key"]
    return submit_one(task, {"seconds": seconds}, client=CLIENT, idempotency_key=order.key, unique_key=key).id


def books(kept: Books) -> Iterator[Book]:
    """No job of a key was accepted before the one before it had ended."""
    faults, total = [], 0
    for key in KEYS:
        mine = sorted({entry.job_id for entry in kept.load.accepted if entry.order.kwargs.get("key") == key})
        total += len(mine)
        for before, after in pairwise(mine):
            ended = [event.at for event in kept.events[before] if event.event in JOB_ENDS]
            accepted = [event.at for event in kept.events[after] if event.event == "accepted"]
            if not ended or not accepted or accepted[0] + WAITED < ended[0]:
                faults.append(f"key {key}: job {after} was accepted at {accepted}, and job {before} ended at {ended}")
    yield Book("unique: one open job for each key", total, faults)

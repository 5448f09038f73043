"""Batches: what follows runs once, after the last of its jobs."""

from collections.abc import Iterator
from random import Random

from service.jobs import State
from service.jobs.shapes import batches
from tests.soak.books import JOB_ENDS, Book, Books
from tests.soak.doors import CLIENT
from tests.soak.orders import Order

WEIGHT = 5


def order(random: Random, key: str) -> Order:
    """A few quick jobs, and one after them."""
    return Order(key, "batches", {"seconds": [random.uniform(0.05, 0.4) for _ in range(random.randint(2, 6))]})


def submit(order: Order) -> str:
    """As one; the id is that of the job that follows."""
    items = [{"seconds": seconds} for seconds in order.kwargs["seconds"]]
    then = ("chores.quick", {"seconds": 0.05})
    return batches.submit("chores.quick", items, then=then, client=CLIENT, idempotency_key=order.key)


def books(kept: Books) -> Iterator[Book]:
    """Each has all of its jobs, and no job ran as the one that follows before they had ended."""
    accepted = [entry for entry in kept.load.accepted if entry.order.kind == "batches"]
    faults = []
    for entry in accepted:
        wanted = len(entry.order.kwargs["seconds"])
        mine = [row.id for row in kept.jobs.values() if row.batch_id == entry.job_id]
        if len(mine) != wanted:
            faults.append(f"batch {entry.job_id}: expected {wanted} jobs, got: {len(mine)}")
        ends = [event.at for id_ in mine for event in kept.events[id_] if event.event in JOB_ENDS]
        began = [event.at for event in kept.events[entry.job_id] if event.event == "started"]
        if len(ends) != wanted or (began and began[0] < max(ends)):
            faults.append(f"batch {entry.job_id}: what follows began at {began}, and its jobs ended at {ends}")
        if kept.jobs[entry.job_id].state is State.SUCCEEDED and not began:
            faults.append(f"batch {entry.job_id}: what follows succeeded, and never began")
    yield Book("batches: followed once, after the last job", len(accepted), faults)

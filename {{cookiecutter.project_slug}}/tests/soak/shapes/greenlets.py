"""Greenlets: of the slow queue's workers one has them, and takes its share of all that is slow."""

from collections.abc import Iterator, Mapping
from random import Random

from service.jobs import submit as submit_one
from tests.soak.books import Book, Books
from tests.soak.doors import CLIENT
from tests.soak.orders import Order

WEIGHT = 8

# Of so many one at least is theirs.
MANY = 10


def settings(role: str) -> Mapping[str, str]:
    """The pool of one worker; the other one's is prefork, as rendered."""
    return {"QUEUE_SLOW_POOL": "gevent"} if role == "worker-slow-2" else {}


def order(random: Random, key: str) -> Order:
    """One that waits, and tells where."""
    return Order(key, "greenlets", {"seconds": random.uniform(0.5, 3)})


def submit(order: Order) -> str:
    """One job."""
    return submit_one("chores.waits", order.kwargs, client=CLIENT, idempotency_key=order.key).id


def books(kept: Books) -> Iterator[Book]:
    """What is promised of any job is promised of theirs; here is held that there were some."""
    accepted = [entry for entry in kept.load.accepted if entry.order.kind == "greenlets"]
    theirs = [entry for entry in accepted if kept.jobs[entry.job_id].result is True]
    faults = [f"of {len(accepted)} jobs none ran in a greenlet"] if len(accepted) >= MANY and not theirs else []
    yield Book("greenlets: some ran in one", len(theirs), faults)

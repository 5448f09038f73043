"""Aggregation: some go together, and each comes to its own end."""

from collections.abc import Iterator
from random import Random

from service.jobs import submit as submit_one
from tests.soak.books import Book, Books
from tests.soak.doors import CLIENT
from tests.soak.orders import Order

WEIGHT = 12


def order(random: Random, key: str) -> Order:
    """One that fails now and then, for itself alone."""
    return Order(key, "aggregation", {"order": random.randint(1, 99), "does": random.choice(("", "", "", "drop once"))})


def submit(order: Order) -> str:
    """One job."""
    return submit_one("rounds.carry", order.kwargs, client=CLIENT, idempotency_key=order.key).id


def books(kept: Books) -> Iterator[Book]:
    """Each gave its own result; that it has one effect is in the book of effects."""
    accepted = [entry for entry in kept.load.accepted if entry.order.kind == "aggregation"]
    faults = [
        f"job {row.id}: expected the result of order {row.kwargs['order']}, got: {row.result}"
        for row in (kept.jobs[entry.job_id] for entry in accepted)
        if row.result is not None and row.result["order"] != row.kwargs["order"]
    ]
    yield Book("aggregation: each its own result", len(accepted), faults)

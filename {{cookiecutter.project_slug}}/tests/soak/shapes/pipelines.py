"""Pipelines: each step once, and after the one before it."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from service.jobs import State
from service.jobs.shapes import pipelines
from tests.soak.books import JOB_ENDS, Book, Books
from tests.soak.doors import CLIENT
from tests.soak.orders import Order

WEIGHT = 5
TASKS = ("chores.quick", "chores.long", "chores.quick")


def order(random: Random, key: str) -> Order:
    """Steps on the fast queue and on the slow one."""
    return Order(key, "pipelines", {"seconds": [random.uniform(0.05, 1) for _ in TASKS]})


def submit(order: Order) -> str:
    """As one; the id is that of the first step's job."""
    steps = [(task, {"seconds": each}) for task, each in zip(TASKS, order.kwargs["seconds"], strict=True)]
    return pipelines.submit(steps, client=CLIENT, idempotency_key=order.key)


def books(kept: Books) -> Iterator[Book]:
    """Each has all of its steps, unless one did not succeed, and none began before the one before it had ended."""
    accepted = [entry for entry in kept.load.accepted if entry.order.kind == "pipelines"]
    faults = []
    for entry in accepted:
        mine = [kept.jobs[step.id] for step in pipelines.get(entry.job_id).steps if step.id in kept.jobs]
        if [row.state for row in mine[:-1]] != [State.SUCCEEDED] * (len(mine) - 1):
            faults.append(f"pipeline {entry.job_id}: a step follows one that did not succeed")
        if mine[-1].state is State.SUCCEEDED and len(mine) != len(TASKS):
            faults.append(f"pipeline {entry.job_id}: expected {len(TASKS)} steps, got: {len(mine)}")
        for before, after in pairwise(mine):
            ended = [event.at for event in kept.events[before.id] if event.event in JOB_ENDS]
            began = [event.at for event in kept.events[after.id] if event.event == "started"]
            if not ended or (began and began[0] < max(ended)):
                faults.append(f"pipeline {entry.job_id}: a step began at {began}, and the one before ended at {ended}")
    yield Book("pipelines: each step after the one before", len(accepted), faults)

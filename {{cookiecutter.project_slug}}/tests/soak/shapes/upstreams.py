"""Third parties' limits: whoever waits for a turn has one in the end, and nobody succeeds without having called."""

import json
import time
from collections.abc import Iterator, Mapping
from functools import cache
from random import Random

from service.jobs import State
from service.jobs import submit as submit_one
from tests.soak.books import Book, Books
from tests.soak.doors import CLIENT
from tests.soak.orders import Order
from tests.support.receiver import Answer, Receiver, Sent

WEIGHT = 8

# Seconds for one call, of which there is one at once: now and then some wait for each other.
CALL_SECONDS = 1.5


def _slow(_: Sent) -> Answer:
    time.sleep(CALL_SECONDS)
    return 204, {}


@cache
def _third_party() -> Receiver:
    return Receiver(answer=_slow).__enter__()


def settings(_: str) -> Mapping[str, str]:
    """What every role is told."""
    upstreams = {"slow": {"hosts": ["127.0.0.1"], "rate": "40/minute", "at_once": 1}}
    return {"UPSTREAMS": json.dumps(upstreams), "OUTBOUND_ALLOW": "127.0.0.0/8"}


def order(random: Random, key: str) -> Order:
    """One call."""
    return Order(key, "upstreams", {"url": _third_party().url})


def submit(order: Order) -> str:
    """One job."""
    return submit_one("chores.calls", order.kwargs, client=CLIENT, idempotency_key=order.key).id


def books(kept: Books) -> Iterator[Book]:
    """Told apart is how many were there at once: without Redis everyone is let through, after a wipe it counts anew."""
    accepted = [entry for entry in kept.load.accepted if entry.order.kind == "upstreams"]
    called = {sent.headers["idempotency-key"] for sent in _third_party().sent}
    faults = [
        f"job {entry.job_id} succeeded, and never called"
        for entry in accepted
        if kept.jobs[entry.job_id].state is State.SUCCEEDED and entry.job_id not in called
    ]
    together = _third_party().together
    apart = [f"{together} calls of third parties were there at once, for 1 that may be"] if together > 1 else []
    yield Book("limits: succeeded means called", len(accepted), faults, apart)

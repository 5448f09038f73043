"""The mixed load: which jobs are wanted, and how each may end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from local.example import Example
from service.jobs import State
from tests.soak import shapes

SUCCEEDS = frozenset({State.SUCCEEDED})

OVER_HTTP = "over HTTP"


@dataclass(frozen=True)
class Order:
    """What is wanted; `cancel_after` is in seconds from its acceptance, and `repeats` says that a key gives one job."""

    key: str
    kind: str
    kwargs: Mapping[str, Any]
    run_at: datetime | None = None
    cancel_after: float | None = None
    ends: frozenset[State] = SUCCEEDS
    repeats: bool = True


# How many of a hundred orders or so are of a kind.
DIRECT = {
    "quick": 19,
    "scheduled": 12,
    "first": 15,
    "flaky": 12,
    "hopeless": 8,
    "writes": 10,
    "long": 14,
    "patient": 7,
    "deaf": 3,
}


def direct(random: Random) -> Iterator[Order]:
    """Orders for `service.jobs.submit`, of every kind, and for every shape; the task of a kind is `chores.<kind>`."""
    kinds = DIRECT | {name: shape.WEIGHT for name, shape in shapes.found().items()}
    number = 0
    while True:
        (kind,) = random.choices(list(kinds), list(kinds.values()))
        number += 1
        key, seconds = f"direct-{number}", random.uniform(0.05, 0.4)
        match kind:
            case "hopeless":
                yield Order(key, kind, {}, ends=frozenset({State.FAILED}))
            case "flaky":
                yield Order(key, kind, {"failures": random.randint(1, 2)})
            case "long":
                yield Order(key, kind, {"seconds": random.uniform(1, 8)})
            case "patient" | "deaf":
                may = frozenset({State.CANCELLED, State.SUCCEEDED})
                lasts = 3.0 if kind == "patient" else 60.0
                yield Order(key, kind, {"seconds": lasts}, cancel_after=random.uniform(0, 3), ends=may)
            case "scheduled":
                yield Order(key, kind, {"seconds": seconds}, run_at=_in(random.uniform(2, 20)))
            case _ if kind in DIRECT:
                yield Order(key, kind, {"seconds": seconds})
            case shape:
                yield shapes.found()[shape].order(random, key)


def over_http(random: Random, example: Example) -> Iterator[Order]:
    """Orders for the API, at once or later."""
    number = 0
    while True:
        number += 1
        later = _in(random.uniform(2, 20)) if random.random() < 0.25 else None
        yield Order(f"http-{number}", OVER_HTTP, example.body, run_at=later)


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)

"""The faults of one soak, all derived from its seed before it begins: the same seed gives the same schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from service.queues import QUEUES

WORKERS = tuple(f"worker-{queue}-{number}" for queue in QUEUES for number in (1, 2))
ROLES = (*WORKERS, "beat-1", "beat-2", "api")

# Seconds: before the first fault, and between one and the next; faults that last may overlap.
WARM_UP = 8.0
GAP = (3.0, 8.0)


@dataclass(frozen=True, order=True)
class Step:
    """One act at its second; `pick` chooses among children that are known only then."""

    at: float
    act: str
    target: str
    pick: float

    def __str__(self) -> str:
        return f"{self.act} {self.target}"


@dataclass(frozen=True)
class Card:
    """One kind of fault: whom it may hit, and for how long, if it is undone."""

    act: str
    targets: Sequence[str]
    undo: str = ""
    seconds: tuple[float, float] = (0.0, 0.0)


def deck(limit: float) -> list[Card]:
    """Every kind of fault; `limit` is how many seconds a process may be silent before it is presumed dead."""
    return [
        Card("kill the group of", WORKERS),
        Card("kill the group of", ROLES),
        Card("kill the parent of", WORKERS),
        Card("kill a child of", WORKERS),
        Card("kill a child of", WORKERS),
        Card("stop", WORKERS),
        Card("stop", ROLES),
        Card("freeze", WORKERS, "thaw", (limit + 1, limit + 6)),
        Card("freeze", ROLES, "thaw", (limit + 1, limit + 6)),
        Card("take away", ["broker"], "give back", (0.5, 5)),
        Card("wipe", ["broker"]),
        Card("fill", ["broker"], "empty", (2, 8)),
        Card("take away", ["database"], "give back", (1, 8)),
    ]


def plan(seed: int, seconds: float, limit: float) -> list[Step]:
    """The acts of `seconds` seconds: the whole deck in random order, again and again."""
    random, at, steps = Random(seed), WARM_UP, list[Step]()
    cards = deck(limit)
    while True:
        for card in random.sample(cards, len(cards)):
            target, pick, lasts = random.choice(card.targets), random.random(), random.uniform(*card.seconds)
            if at > seconds:
                return sorted(steps)
            steps.append(Step(round(at, 1), card.act, target, pick))
            if card.undo:
                steps.append(Step(round(at + lasts, 1), card.undo, target, pick))
            at += random.uniform(*GAP)

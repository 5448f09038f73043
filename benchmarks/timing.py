"""How a benchmark counts: medians of rounds in which the contestants take turns."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

ROUNDS = 5


def interleaved(
    *contestants: Callable[[int], object], prepare: Callable[[], object] = lambda: None, rounds: int = ROUNDS
) -> tuple[float, ...]:
    """The median seconds of each contestant, in rounds that take turns, after one that does not count."""
    prepare()
    seconds: list[list[float]] = [[] for _ in contestants]
    for round_ in range(rounds + 1):
        for contestant, taken in zip(contestants, seconds, strict=True):
            began = time.perf_counter()
            contestant(round_)
            taken.append(time.perf_counter() - began)
    return tuple(statistics.median(taken[1:]) for taken in seconds)


def medians(rounds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The median of each number over some rounds."""
    kept = list(rounds)
    return {name: statistics.median(each[name] for each in kept) for name in kept[0]} if kept else {}


def rounded(found: Mapping[str, float], digits: int = 4) -> dict[str, float]:
    """The numbers to so many digits that count, which is more than they are worth."""
    return {name: float(f"{value:.{digits}g}") for name, value in found.items()}

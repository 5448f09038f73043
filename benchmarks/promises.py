"""What is promised of the rendered service's speed, and whether the newest results bear it out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]


@dataclass(frozen=True)
class Promise:
    """A number that is to be reached: at least `bound`, or at most, where `below`."""

    words: str
    bound: float
    measure: Callable[[Results], float]
    below: bool = False
    unit: str = ""

    def value(self, results: Results) -> float | None:
        """What was measured, or None where it was not."""
        try:
            return self.measure(results)
        except (KeyError, ZeroDivisionError):
            return None

    def kept(self, results: Results) -> bool | None:
        """Whether it is reached; None where nothing was measured."""
        value = self.value(results)
        if value is None:
            return None
        return value <= self.bound if self.below else value >= self.bound


def of(results: Results, step: str, contestant: str, number: str) -> float:
    """One number of a contestant.

    Raises:
        KeyError: it was not measured.
    """
    return float(results["steps"][step]["contestants"][contestant][number])


def ratio(step: str, number: str, other: str) -> Callable[[Results], float]:
    """Ours against another's."""
    return lambda results: of(results, step, "ours", number) / of(results, step, other, number)


def left(number: str) -> Callable[[Results], float]:
    """What is lost at the most waiting jobs against the fewest, in percent."""

    def lost(results: Results) -> float:
        sizes = results["steps"]["waiting"]["sizes"]
        few, many = min(sizes, key=int), max(sizes, key=int)
        return float(100 * (1 - sizes[many][number] / sizes[few][number]))

    return lost


def seconds(step: str, own: str, other: str = "") -> Callable[[Results], float]:
    """Seconds of a step, or their ratio to another's."""

    def found(results: Results) -> float:
        here = results["steps"][step]["seconds"]
        return float(here[own] / here[other] if other else here[own])

    return found


def idle(*path: str) -> Callable[[Results], float]:
    """A number of the idle service."""

    def found(results: Results) -> float:
        here = results["steps"]["idle"]
        for name in path:
            here = here[name]
        return float(here)

    return found


PROMISES = (
    Promise(
        "accept, against stock Celery with results", 1.5, ratio("accept", "requests_per_second", "stock"), unit="x"
    ),
    Promise(
        "accept, against Flask with procrastinate",
        1.0,
        ratio("accept", "requests_per_second", "procrastinate"),
        unit="x",
    ),
    Promise("done, against procrastinate", 1.3, ratio("done", "jobs_per_second", "procrastinate"), unit="x"),
    Promise("done, against stock Celery with results", 0.9, ratio("done", "jobs_per_second", "stock"), unit="x"),
    Promise(
        "a fast job's wait under slow ones, 99th percentile against idle",
        1.5,
        lambda results: of(results, "fast", "ours", "ratio"),
        below=True,
        unit="x",
    ),
    Promise(
        "a killed worker's job runs again",
        45,
        lambda results: of(results, "recovery", "ours", "seconds"),
        below=True,
        unit=" s",
    ),
    Promise("statements a second, idle, in all", 1, idle("statements_per_second"), below=True),
    Promise("memory of the API", 90, idle("roles", "api", "rss_mb"), below=True, unit=" MB"),
    Promise(
        "memory of a worker's parent and two children",
        260,
        idle("roles", "worker-slow", "memory_mb"),
        below=True,
        unit=" MB",
    ),
    Promise(
        "rendering, against copying the same files", 1.3, seconds("render", "ours", "copied"), below=True, unit="x"
    ),
    Promise("the API's application is built", 1.5, seconds("start", "application"), below=True, unit=" s"),
    Promise(
        "a probe, against a Python that imports Celery", 0.5, seconds("probe", "probe", "celery"), below=True, unit="x"
    ),
    Promise(
        "accept, lost with 100,000 waiting jobs against 1,000", 20, left("requests_per_second"), below=True, unit=" %"
    ),
    Promise("done, lost with 100,000 waiting jobs against 1,000", 20, left("jobs_per_second"), below=True, unit=" %"),
)

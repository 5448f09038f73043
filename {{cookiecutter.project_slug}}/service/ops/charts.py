"""Small charts, as numbers that a template draws: SVG made here, so that the page needs no script for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.jobs.model import State
from service.ops.store import MINUTES, Flow

# Units of the drawing: a minute's width, and the height of the tallest.
STEP, HEIGHT = 4, 40

SUCCEEDED, FAILED, CANCELLED = State.SUCCEEDED, State.FAILED, State.CANCELLED


@dataclass(frozen=True)
class Bar:
    """A part of one minute's bar."""

    x: int
    y: float
    height: float
    kind: str


@dataclass(frozen=True)
class Throughput:
    """The last hour of a queue: bars of what ended, a line of what was accepted, and the same in words."""

    bars: Sequence[Bar]
    line: str
    tallest: int
    words: str
    width: int = STEP * MINUTES
    height: int = HEIGHT


def throughput(flow: Flow, queue: str) -> Throughput:
    """The chart of one queue."""
    nothing = [0] * MINUTES
    ended = {state: flow.ended.get((queue, state), nothing) for state in (SUCCEEDED, FAILED, CANCELLED)}
    accepted = flow.accepted.get(queue, nothing)
    tallest = max(1, *accepted, *(sum(minute) for minute in zip(*ended.values(), strict=True)))
    points = [f"{STEP * n + STEP / 2:g},{_y(number, tallest):.1f}" for n, number in enumerate(accepted)]
    said = ", ".join(f"{sum(numbers):,} {state}" for state, numbers in ended.items() if any(numbers)) or "none ended"
    words = f"{'at least ' if flow.capped else ''}{sum(accepted):,} accepted, {said} within the last hour"
    return Throughput(list(_bars(ended, tallest)), " ".join(points), tallest, words)


def _bars(ended: Mapping[State, Sequence[int]], tallest: int) -> Sequence[Bar]:
    bars = []
    for minute in range(MINUTES):
        below = 0
        for state, numbers in ended.items():
            if numbers[minute]:
                top = _y(below + numbers[minute], tallest)
                bars.append(Bar(STEP * minute, top, max(1.0, _y(below, tallest) - top), state.value))
                below += numbers[minute]
    return bars


def _y(number: int, tallest: int) -> float:
    return HEIGHT * (1 - number / tallest)

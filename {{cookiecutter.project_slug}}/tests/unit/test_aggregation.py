"""A task that collects in a way that makes no sense does not import; the error says what was expected."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from service.errors import PolicyError
from service.jobs.shapes.aggregation import Jobs, collects
from service.worker import FastTask
from service.worker.app import App


def together(jobs: Jobs) -> list[str]:
    """Do nothing for all of them."""
    return list(jobs)


def carry(self: FastTask, given: list[str], order: int, shelf: str = "A") -> None:
    """Do nothing for each."""


def unbound(given: list[str], order: int) -> None:
    """Take no task."""


def lonely(self: FastTask) -> None:
    """Take nothing of the call."""


def starred(self: FastTask, *, order: int) -> None:
    """Take nothing of the call, but by name."""


def define(function: Callable[..., Any] = carry, **numbers: Any) -> Any:
    """Define a task on an application of its own."""
    decorated = collects(together, **{"up_to": 10, "within": 2.0, **numbers})(function)
    return App("test", set_as_current=False).task(base=FastTask, bind=True, name="orders.carry")(decorated)


@pytest.mark.parametrize("up_to", [0, 1, -10, 1001, 2.5, "10", None, True])
def test_how_many(up_to: Any) -> None:
    with pytest.raises(PolicyError, match=r"^task test_aggregation.carry: up_to: expected 2 to 1,000 jobs, got: "):
        define(up_to=up_to)


@pytest.mark.parametrize("within", [-1, -0.1, 3601, math.inf, math.nan, "2", None, True])
def test_how_long(within: Any) -> None:
    with pytest.raises(PolicyError, match=r"^task test_aggregation.carry: within: expected 0 to 3600 seconds, got: "):
        define(within=within)


@pytest.mark.parametrize("function", [unbound, lonely, starred])
def test_what_the_task_takes(function: Callable[..., Any]) -> None:
    with pytest.raises(PolicyError, match="expected self and what was done together, got: "):
        define(function)


def test_arguments_are_one_jobs() -> None:
    schema = TypeAdapter[Any](define().function).json_schema()
    assert schema == {
        "additionalProperties": False,
        "properties": {
            "order": {"title": "Order", "type": "integer"},
            "shelf": {"default": "A", "title": "Shelf", "type": "string"},
        },
        "required": ["order"],
        "type": "object",
    }


def test_a_plain_call_has_no_company() -> None:
    with pytest.raises(RuntimeError, match=r"expected orders\.carry to run as a durable job, got: a plain Celery call"):
        define()(order=1)

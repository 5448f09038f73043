"""A task that switches a preset off does not import: the error names the task, the setting and the remedy."""

from collections.abc import Callable
from typing import Any

import pytest

from service.errors import PolicyError
from service.queues import QUEUES, WEBHOOK_WAITS
from service.webhooks import orders
from service.worker import FastTask
from service.worker.app import App, load_tasks


def define(function: Callable[..., Any] | None = None, **options: Any) -> None:
    """Define a task on an application of its own."""
    App("test", set_as_current=False).task(**{"base": FastTask, "name": "some.task", **options})(function or nothing)


def nothing() -> None:
    """Do nothing."""


def unnamed(*values: str) -> None:
    """Take arguments that have no names."""


# What a task is defined with, what is said of it, and the line of the ledger with what stock Celery does there.
REFUSED: list[tuple[dict[str, Any], str, str, str]] = [
    ({"base": None}, "base: expected FastTask or SlowTask", "S1", "fast waits behind slow in one queue"),
    ({"max_retries": None}, "max_retries: expected a number, got: None", "S6", "a worker lost for good"),
    ({"time_limit": None}, "time_limit: expected seconds, got: none", "S3", "a hung call holds a worker for ever"),
    ({"soft_time_limit": None}, "soft_time_limit: expected seconds, got: none", "S3", "no time to tidy up"),
    ({"soft_time_limit": 30, "time_limit": 20}, "expected less than time_limit 20, got: 30", "S3", "never raised"),
    ({"acks_late": False}, "acks_late: expected True", "L1", "lost with its worker"),
    ({"reject_on_worker_lost": True}, "reject_on_worker_lost: expected False", "D7", "45 runs in 12 s, no signal"),
    ({"rate_limit": "6/m"}, "rate_limit: expected none, got: 6/m", "S19", "other tasks wait behind it, 45 s and more"),
    ({"ignore_result": False}, "ignore_result: expected True", "U3", "results stay in Redis"),
    ({"autoretry_for": (Exception,)}, "expected errors that may pass, got: Exception", "S17", "retries wrong data too"),
    ({"function": unnamed}, "values: expected named arguments", "U1", "arguments by position change their meaning"),
]


@pytest.mark.parametrize(
    ("options", "message"),
    [pytest.param(*rule[:2], marks=pytest.mark.fault(*rule[2:])) for rule in REFUSED],
)
def test_a_task_against_the_policy_is_refused_where_it_is_defined(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        define(**options)
    assert message in str(caught.value)
    assert str(caught.value).startswith("task some.task: ")


def test_every_fault_of_a_task_is_named_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        define(acks_late=False, max_retries=None)
    assert len(str(caught.value).splitlines()) == 2


def test_the_services_own_tasks_have_the_limits_of_their_queue() -> None:
    for task in load_tasks().values():
        assert task.time_limit == QUEUES[task.kind].hard_limit
        # How often a webhook is tried is said by its schedule.
        tries = len(WEBHOOK_WAITS) if task.name == orders.TASK else QUEUES[task.kind].max_retries
        assert task.max_retries == tries

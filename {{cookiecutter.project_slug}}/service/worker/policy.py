"""What a task may not be: each rule is a way in which a Celery service lost, doubled or starved work."""

import inspect
from collections.abc import Iterator
from typing import Any

from celery.app.task import Task

from service.errors import PolicyError

# What autoretry may not name: these also cover what is wrong with the data, and the time limits.
TOO_BROAD = (Exception, BaseException)


def check(task: Task) -> None:
    """Hold one task against the policy.

    Raises:
        PolicyError: naming the task, each setting that is wrong, and the remedy.
    """
    if faults := [f"task {task.name}: {fault}" for fault in _faults(task)]:
        raise PolicyError("\n".join(faults))


def _faults(task: Task) -> Iterator[str]:
    from service.worker.task import DurableTask

    if not isinstance(task, DurableTask):
        bases = " or ".join(base.__name__ for base in DurableTask.__subclasses__())
        yield f"base: expected {bases}, got: {type(task).__mro__[1].__name__}; say which queue it is for"
        return
    yield from _limits(task)
    if task.max_retries is None:
        yield "max_retries: expected a number, got: None, which retries for ever; leave it to the queue's policy"
    if not task.acks_late:
        yield "acks_late: expected True, got: False, which loses the job with its worker; leave it out"
    if task.reject_on_worker_lost:
        yield "reject_on_worker_lost: expected False, got: True, which runs a deadly job for ever; leave it out"
    if task.rate_limit:
        yield f"rate_limit: expected none, got: {task.rate_limit}, which holds up other tasks; leave it out"
    if not task.ignore_result:
        yield "ignore_result: expected True, got: False; what the function returns is kept in the job's row"
    if broad := [error.__name__ for error in getattr(task, "autoretry_for", ()) if error in TOO_BROAD]:
        yield f"autoretry_for: expected errors that may pass, got: {broad[0]}; name them: UpstreamError"
    yield from _signature(task)


def _limits(task: Any) -> Iterator[str]:
    soft, hard = task.soft_time_limit, task.time_limit
    if not soft or not hard:
        missing = "soft_time_limit" if not soft else "time_limit"
        yield f"{missing}: expected seconds, got: none, which lets a hung call hold a worker; leave it to the policy"
    elif soft >= hard:
        yield f"soft_time_limit: expected less than time_limit {hard:g}, got: {soft:g}; lower it, or raise the other"


def _signature(task: Task) -> Iterator[str]:
    for parameter in inspect.signature(task.run).parameters.values():
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL}:
            yield f"{parameter.name}: expected named arguments, got: {parameter}; jobs carry keyword arguments"

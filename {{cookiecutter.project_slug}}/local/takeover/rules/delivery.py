"""Delivery: what becomes of a message whose worker dies, or that waits longer than the broker does."""

import ast
from collections.abc import Iterator
from dataclasses import replace

from local.takeover.body import retries_in
from local.takeover.finding import Fault, Finding
from local.takeover.project import Project
from local.takeover.task import Task
from local.takeover.value import ahead, number, shown

# Celery's own, in seconds.
VISIBILITY_TIMEOUT = 3600

_BASE = "declare it with base=FastTask or SlowTask, and send it by `submit`: a row counts its crashes, three at most"

EARLY = Fault("acks", "acks_late", "the work of a worker that dies is lost with it", _BASE)
LOST = Fault(
    "acks",
    "more than acks_late",
    "work that kills its process (out of memory) counts as done, and is lost",
    _BASE,
)
FOR_EVER = Fault(
    "acks",
    "a bounded number of crashes",
    "work that kills its process (out of memory) is handed out again for ever",
    f"leave it out; {_BASE}",
)
LONGER = Fault(
    "visibility",
    "waits shorter than the broker's visibility timeout",
    "Redis hands it out again each time that it ends: it runs as often as that, beside itself",
    "let the row wait: submit(name, kwargs, run_at=...); retries of FastTask and SlowTask wait in theirs",
)


def delivery(project: Project) -> Iterator[Finding]:
    """Acknowledgements, and the visibility timeout."""
    for task in project.tasks:
        yield from _acks(task)
    if any(
        text.startswith(("amqp", "pyamqp"))
        for each in project.settings.get("broker_url", [])
        for text in each.strings()
    ):
        return
    given = [number(each.expression, each.module) for each in project.settings.get("visibility_timeout", [])]
    timeout = max(filter(None, given), default=VISIBILITY_TIMEOUT)
    fault = replace(LONGER, expected=f"{LONGER.expected}, {timeout:g} s")
    for task in project.tasks:
        yield from () if task.preset else _waits(task, timeout, fault)
    for call in project.calls:
        for option in ("countdown", "eta"):
            given_option = call.option(option)
            if given_option and (number(given_option, call.module) or ahead(given_option, call.module) or 0) > timeout:
                yield fault.at(call.module, given_option, call.task.name, f"{option}={shown(given_option)}")


def _acks(task: Task) -> Iterator[Finding]:
    late, reject, retry = (task.given(name) for name in ("acks_late", "reject_on_worker_lost", "retry_on_worker_lost"))
    early = late.value is False if late else not task.preset
    retried = retry is not None and retry.value is not False
    if early:
        place = late or None
        got = f"acks_late={place.shown}" if place else "none, here or for all"
        yield EARLY.at(place.module if place else task.module, place.expression if place else task.node, task.name, got)
    elif reject and reject.value is not False and not retried:
        yield FOR_EVER.at(reject.module, reject.expression, task.name, f"reject_on_worker_lost={reject.shown}")
    elif not retried and not task.preset:
        yield LOST.at(task.module, task.node, task.name, "acks_late alone")
    for name in ("acks_on_timeout", "acks_on_failure_or_timeout"):
        if (given := task.given(name)) and given.value is False:
            yield FOR_EVER.at(given.module, given.expression, task.name, f"{name}=False")


def _waits(task: Task, timeout: float, fault: Fault) -> Iterator[Finding]:
    """Retries, and runs, that last longer than the timeout."""
    places = [(given, name) for name in ("default_retry_delay", "time_limit") if (given := task.given(name))]
    for given, name in places:
        if (number(given.expression, given.module) or 0) > timeout:
            yield fault.at(given.module, given.expression, task.name, f"{name}={given.shown}")
    for call in retries_in(task.function, task):
        for each in call.keywords:
            if each.arg in {"countdown", "eta"} and _longer(each.value, task, timeout):
                yield fault.at(task.module, each.value, task.name, f"self.retry({each.arg}={shown(each.value)})")


def _longer(expression: ast.expr, task: Task, timeout: float) -> bool:
    return (number(expression, task.module) or ahead(expression, task.module) or 0) > timeout

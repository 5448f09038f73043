"""Limits: of time, which a task without one never reaches, and of rate, which hold up others."""

from collections.abc import Iterator

from local.takeover.finding import EVERY_TASK, Fault, Finding
from local.takeover.project import Project
from service.queues import QUEUES

_SECONDS = {name: f"{queue.soft_limit:g} s, killed after {queue.hard_limit:g} s" for name, queue in QUEUES.items()}

TIME = Fault(
    "time-limit",
    "a soft and a hard time limit",
    "a call that hangs holds its worker for ever",
    f"declare it with base=FastTask (asked to stop after {_SECONDS['fast']}) or base=SlowTask ({_SECONDS['slow']}); "
    "the numbers are in service/queues.py",
)
POOL = Fault(
    "pool",
    "the prefork pool",
    "threads and solo keep no time limit, greenlets only the hard one",
    "leave it out: `worker fast` and `worker slow` are prefork; more at once is `concurrency` in service/queues.py",
)
RATE = Fault(
    "rate-limit",
    "no rate_limit",
    "it counts per worker, and other tasks of the queue wait behind those that it holds back",
    "leave it out; service.outbound.client spares a third party that is in trouble, for all workers together",
)


def limits(project: Project) -> Iterator[Finding]:
    """Tasks without limits of time, workers that do not keep them, and limits of rate."""
    for task in project.tasks:
        missing = [name for name in ("soft_time_limit", "time_limit") if not task.given(name)]
        if task.preset:
            missing = [name for name in missing if name in task.options]
        if missing:
            got = f"no {missing[0]}" if len(missing) == 1 else "neither on the task nor for all"
            yield TIME.at(task.module, task.node, task.name, got)
        if (rate := task.given("rate_limit")) and rate.value:
            yield RATE.at(rate.module, rate.expression, task.name, f"{rate.shown}")
    for pool in project.settings.get("worker_pool", []):
        if pool.value in {"threads", "solo", "gevent", "eventlet"}:
            yield POOL.at(pool.module, pool.expression, EVERY_TASK, str(pool.value))

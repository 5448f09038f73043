"""One attempt, from the claim to its outcome; it runs in the worker's child process."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import exc

from service.database import AWAY
from service.errors import AttemptLost
from service.jobs import Job, attempts
from service.jobs.submit import encode
from service.observe import context, traces
from service.queues import MAX_RESULT
from service.worker import outcome
from service.worker.job import RunningJob

if TYPE_CHECKING:
    from service.worker.task import DurableTask

log = structlog.get_logger()

# Seconds between two tries to write an outcome down while the store is away.
STORE_RETRY_SECONDS = 1.0

# The name under which this worker claims, and the queue of which; set before the pool forks.
worker_name = kind = ""

# What its rows call what runs an attempt: the process, where the pool is of processes.
place: Callable[[], int] = os.getpid


def run(task: "DurableTask", job_id: str) -> None:
    """Claim the job and run it; its outcome is in its row, and the message is acknowledged whatever it was."""
    context.bind(job_id=job_id, task=task.name)
    try:
        row = attempts.claim(job_id, task.name, queue=kind, worker=worker_name, pid=place(), hard_limit=task.time_limit)
    except (*AWAY, exc.IntegrityError) as error:
        log.warning("not claimed, the job waits for its next doorbell", error=type(error).__name__)
        return
    if row is None:
        log.debug("doorbell without a job to run")
        return
    context.bind(**context.fields(row.context), queue=row.queue, attempt=row.attempt, client=row.client)
    started = time.monotonic()
    with traces.attempt(row) as tags:
        # A task of `jobs/shapes/aggregation.py` carries others along, each in an attempt of its own.
        said = tags["outcome"] = getattr(task.function, "carry", partial.__call__)(partial(_attempt, task), row)
        log.info(f"job {said}", duration=round(time.monotonic() - started, 3))


def _attempt(task: "DurableTask", row: Job) -> str:
    """Run the function and write down what came of it; gives that in a word."""
    job, returned = RunningJob(row), False
    task.request.job = job
    try:
        with job.effects:
            outcome.demand_fit(task.function, row.kwargs)
            result, returned = task.function(**row.kwargs), True
            encode(result, MAX_RESULT, outcome.InvalidResult)
            job.succeed(result)
    except Exception as error:
        # Of what has returned the store is slow, and not the task.
        why = exc.TimeoutError(f"{error}") if returned and isinstance(error, outcome.TIME_LIMITS) else error
        return _insist(partial(outcome.settle, task, row, why.with_traceback(error.__traceback__)))
    return "succeeded"


def _insist(write: Callable[[], str]) -> str:
    """Write an outcome down, however long the store is away; the hard limit ends this at last."""
    while True:
        try:
            return write()
        except AttemptLost:
            return "lost to another attempt"
        except AWAY as error:
            log.warning("store unreachable, the outcome waits", error=type(error).__name__)
            time.sleep(STORE_RETRY_SECONDS)

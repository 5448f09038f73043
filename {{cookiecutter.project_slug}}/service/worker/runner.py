"""One attempt, from the claim to its outcome; it runs in the worker's child process."""

import functools
import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from service.errors import AttemptLost
from service.jobs import Job, attempts
from service.observe import context, traces
from service.queues import MAX_RESULT
from service.worker import outcome
from service.worker.job import RunningJob
from service.worker.outcome import InvalidResult

if TYPE_CHECKING:
    from service.worker.task import DurableTask

log = structlog.get_logger()

# Seconds between two tries to write an outcome down while the store is away.
STORE_RETRY_SECONDS = 1.0

# The name under which this worker claims; set before the pool forks.
worker_name = ""


def run(task: "DurableTask", job_id: str) -> None:
    """Claim the job and run it; its outcome is in its row, and the message is acknowledged whatever it was."""
    context.bind(job_id=job_id, task=task.name)
    try:
        row = attempts.claim(job_id, task.name, worker=worker_name, pid=os.getpid(), hard_limit=task.time_limit)
    except outcome.STORE_ERRORS as error:
        log.warning("store unreachable, the job waits for its next doorbell", error=type(error).__name__)
        return
    if row is None:
        log.debug("doorbell without a job to run")
        return
    context.bind(**context.fields(row.context), queue=row.queue, attempt=row.attempt, client=row.client)
    started = time.monotonic()
    with traces.attempt(row) as tags:
        said = tags["outcome"] = _attempt(task, row)
        log.info(f"job {said}", duration=round(time.monotonic() - started, 3))


def _attempt(task: "DurableTask", row: Job) -> str:
    """Run the function and write down what came of it; gives that in a word."""
    job = task.request.job = RunningJob(row)
    try:
        with job.effects:
            outcome.demand_fit(task.function, row.kwargs)
            job.succeed(_json(task.function(**row.kwargs)))
    except Exception as error:
        return _insist(functools.partial(outcome.settle, task, row, error))
    return "succeeded"


def _insist(write: Callable[[], str]) -> str:
    """Write an outcome down, however long the store is away; the hard limit ends this at last."""
    while True:
        try:
            return write()
        except AttemptLost:
            return "lost to another attempt"
        except outcome.STORE_ERRORS as error:
            log.warning("store unreachable, the outcome waits", error=type(error).__name__)
            time.sleep(STORE_RETRY_SECONDS)


def _json(result: Any) -> Any:
    try:
        size = len(json.dumps(result, allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        raise InvalidResult(f"expected a result of JSON, got: {error}; return keys and plain values") from error
    if size > MAX_RESULT:
        raise InvalidResult(f"expected a result of at most {MAX_RESULT} bytes, got: {size}; store it and return a key")
    return result

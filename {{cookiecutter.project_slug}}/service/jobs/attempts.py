"""What an attempt may write: every statement carries its number, so that one that was given up can change nothing."""

import functools
from contextlib import nullcontext
from typing import Any, NamedTuple

from sqlalchemy import Executable, Float, Update, select, update
from sqlalchemy.orm import Session

from service.config import settings
from service.database import now, standalone, transaction
from service.errors import AttemptLost, JobCancelled
from service.jobs import doorbell
from service.jobs.ending import IDLE, end
from service.jobs.history import JOBS, change, given, record
from service.jobs.model import Job, State, is_free, is_ready, is_running
from service.queues import DEADLINE_GRACE

NO_PROGRESS: dict[str, Any] = {"progress_done": None, "progress_total": None, "progress_message": None}


class Failure(NamedTuple):
    """Why an attempt ended without a result."""

    error_type: str
    error_message: str
    traceback: str | None = None


def claim(job_id: str, task: str, *, queue: str, worker: str, pid: int, hard_limit: float) -> Job | None:
    """Take a job that may run now; None when it is taken, ended, not due, paused or locked: the message was too early.

    A message that names another task than the row does is a forged one, and so is one on another queue, unless the job
    was moved.

    Raises:
        IntegrityError: another took its lock in the same moment, and rings for it in the end.
    """
    fills = {"id": job_id, "task": task, "queue": queue, "worker": worker, "pid": pid, "seconds": hard_limit}
    with transaction(single=True) as session:
        return change(session, _claim(), fills, "started", by=worker)


def fail(row: Job, failure: Failure) -> None:
    """End the job as a dead letter.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    message = f"{failure.error_type}: {failure.error_message}"
    with transaction() as session:
        end(session, row, State.FAILED, message, failures=row.failures + 1, **failure._asdict())


def retry(row: Job, failure: Failure, seconds: float) -> None:
    """Let the job wait this long for its next attempt.

    Raises:
        AttemptLost: as for `fail`.
        JobCancelled: it was asked to stop, so nobody wants another.
    """
    values = {"state": State.RETRYING, "waiting_for": "time", "failures": Job.failures + 1, **failure._asdict()}
    _wait(row, seconds, f"after {failure.error_type}: {failure.error_message}", None, **values)


def postpone(row: Job, waiting_for: str, seconds: float, session: Session | None = None) -> None:
    """Let the job wait for something that is no fault of its own; that counts in no budget.

    With `session` that is seen once the caller's transaction commits.

    Raises:
        AttemptLost, JobCancelled: as for `retry`.
    """
    _wait(row, seconds, f"for {waiting_for}", session, state=State.QUEUED, waiting_for=waiting_for)


def cancel(row: Job) -> None:
    """End the job as it was asked to.

    Raises:
        AttemptLost: as for `fail`.
    """
    with transaction() as session:
        end(session, row, State.CANCELLED)


def progress(row: Job, done: int, total: int | None, message: str | None) -> bool:
    """Write how far the job is; gives whether it was asked to stop.

    Raises:
        AttemptLost: as for `fail`.
    """
    with standalone() as session:
        return write(session, row, progress_done=done, progress_total=total, progress_message=message)


def asked_to_stop(row: Job) -> bool:
    """Whether somebody cancelled the job.

    Raises:
        AttemptLost: as for `fail`.
    """
    with standalone() as session:
        return _asked(session, select(Job.cancel_requested_at).where(*_mine(row)))


def log(row: Job, message: str) -> None:
    """Add a line to the job's history.

    Raises:
        AttemptLost: as for `fail`.
    """
    with transaction() as session:
        write(session, row)
        record(session, row, "log", message)


def write(session: Session, row: Job, **values: Any) -> bool:
    """Change the job, or hold that it is this attempt's; gives whether it was asked to stop.

    Raises:
        AttemptLost: as for `fail`.
    """
    changed = update(Job).where(*_mine(row)).values(values or {"attempt": row.attempt})
    return _asked(session, changed.returning(Job.cancel_requested_at))


@functools.cache
def _claim() -> Update:
    jobs = JOBS.c
    named = (jobs.id == given("id"), jobs.task == given("task"), jobs.queue == given("queue"))
    taken = {"state": State.RUNNING, "attempt": jobs.attempt + 1, "worker": given("worker"), "pid": given("pid")}
    times = {"started_at": now(), "deadline": now(given("seconds", Float()) + DEADLINE_GRACE), "waiting_for": None}
    return update(JOBS).where(*named, is_ready(), is_free).values(taken | times | NO_PROGRESS)


def _wait(row: Job, seconds: float, reason: str, own: Session | None, **values: Any) -> None:
    # A short wait is over before the reconciler comes by, so its doorbell is rung here, with a delay.
    soon = seconds <= settings().sweep_seconds
    times = {"run_at": now(seconds), "rung_at": now(seconds) if soon else None}
    with nullcontext(own) if own else transaction() as session:
        if write(session, row, **values, **IDLE, **times):
            raise JobCancelled
        record(session, row, "retrying" if "failures" in values else "waiting", f"in {seconds:.1f} s {reason}")
        if soon:
            doorbell.ring(session, row, seconds)
        doorbell.ring_next(session, row)


def _asked(session: Session, statement: Executable) -> bool:
    found = session.execute(statement).first()
    if found is None:
        raise AttemptLost
    return found[0] is not None


def _mine(row: Job) -> tuple[Any, ...]:
    return Job.id == row.id, Job.attempt == row.attempt, is_running

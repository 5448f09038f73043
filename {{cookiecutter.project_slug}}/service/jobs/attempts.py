"""What an attempt may write: every statement carries its number, so that one that was given up can change nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from service.config import settings
from service.database import now, standalone, transaction
from service.errors import AttemptLost
from service.jobs import doorbell
from service.jobs.history import record
from service.jobs.model import Job, PausedQueue, State, is_running, is_waiting
from service.queues import DEADLINE_GRACE

NO_PROGRESS: dict[str, Any] = {"progress_done": None, "progress_total": None, "progress_message": None}
NO_ERROR: dict[str, Any] = {"error_type": None, "error_message": None, "traceback": None}

# What a job that does not run has none of.
IDLE: dict[str, Any] = {"worker": None, "pid": None, "deadline": None}


@dataclass(frozen=True)
class Failure:
    """Why an attempt ended without a result."""

    type: str
    message: str
    traceback: str | None = None


def claim(job_id: str, *, worker: str, pid: int, hard_limit: float) -> Job | None:
    """Take a job that may run now; None when it is taken, ended, not due or paused: the message was one too many."""
    paused = select(PausedQueue.name)
    with transaction() as session:
        row = session.scalar(
            update(Job)
            .where(Job.id == job_id, is_waiting, Job.run_at <= now(), Job.queue.not_in(paused))
            .values(
                state=State.RUNNING,
                attempt=Job.attempt + 1,
                worker=worker,
                pid=pid,
                deadline=now(hard_limit + DEADLINE_GRACE),
                started_at=now(),
                waiting_for=None,
                **NO_PROGRESS,
            )
            .returning(Job)
        )
        if row is not None:
            record(session, row, "started", by=worker)
        return row


def succeed(session: Session, row: Job, result: Any) -> None:
    """End the job well, in the transaction of its own effects.

    Raises:
        AttemptLost: the job is no longer this attempt's; the caller's transaction must not commit.
    """
    _write(session, row, state=State.SUCCEEDED, result=result, ended_at=now(), **NO_ERROR, **IDLE)
    record(session, row, "succeeded")


def fail(row: Job, failure: Failure) -> None:
    """End the job as a dead letter.

    Raises:
        AttemptLost: as for `succeed`.
    """
    with transaction() as session:
        values = _error(failure) | IDLE
        _write(session, row, state=State.FAILED, failures=Job.failures + 1, ended_at=now(), **values)
        record(session, row, "failed", f"{failure.type}: {failure.message}")


def retry(row: Job, failure: Failure, seconds: float) -> None:
    """Let the job wait this long for its next attempt.

    Raises:
        AttemptLost: as for `succeed`.
    """
    # A short wait is over before the reconciler comes by, so its doorbell is rung here, with a delay.
    soon = seconds <= settings().sweep_seconds
    with transaction() as session:
        times = {"run_at": now(seconds), "rung_at": now(seconds) if soon else None, "waiting_for": "time"}
        _write(session, row, state=State.RETRYING, failures=Job.failures + 1, **_error(failure), **IDLE, **times)
        record(session, row, "retrying", f"in {seconds:.1f} s after {failure.type}: {failure.message}")
    if soon:
        doorbell.ring(row, seconds)


def cancel(row: Job) -> None:
    """End the job as it was asked to.

    Raises:
        AttemptLost: as for `succeed`.
    """
    with transaction() as session:
        _write(session, row, state=State.CANCELLED, ended_at=now(), **IDLE)
        record(session, row, "cancelled")


def progress(row: Job, done: int, total: int | None, message: str | None) -> bool:
    """Write how far the job is; gives whether it was asked to stop.

    Raises:
        AttemptLost: as for `succeed`.
    """
    with standalone() as session:
        asked = session.execute(
            update(Job)
            .where(*_mine(row))
            .values(progress_done=done, progress_total=total, progress_message=message)
            .returning(Job.cancel_requested_at)
        ).first()
    return _asked(asked)


def asked_to_stop(row: Job) -> bool:
    """Whether somebody cancelled the job.

    Raises:
        AttemptLost: as for `succeed`.
    """
    with standalone() as session:
        asked = session.execute(select(Job.cancel_requested_at).where(*_mine(row))).first()
    return _asked(asked)


def log(row: Job, message: str) -> None:
    """Add a line to the job's history.

    Raises:
        AttemptLost: as for `succeed`.
    """
    with transaction() as session:
        _write(session, row)
        record(session, row, "log", message)


def _asked(found: Row[datetime | None] | None) -> bool:
    if found is None:
        raise AttemptLost
    return found[0] is not None


def _mine(row: Job) -> tuple[Any, ...]:
    return Job.id == row.id, Job.attempt == row.attempt, is_running


def _write(session: Session, row: Job, **values: Any) -> None:
    found = session.execute(update(Job).where(*_mine(row)).values(values or {"attempt": row.attempt}))
    if not found.rowcount:  # type: ignore[attr-defined]
        raise AttemptLost


def _error(failure: Failure) -> dict[str, Any]:
    return {"error_type": failure.type, "error_message": failure.message, "traceback": failure.traceback}

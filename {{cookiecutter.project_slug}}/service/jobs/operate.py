"""What an operator or a client may do to a job or a queue; each act leaves an event that names who did it."""

import math
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service import refused
from service.config import settings
from service.database import now, transaction
from service.errors import UnknownQueue, WrongState
from service.jobs.ending import NO_ERROR, end
from service.jobs.history import record
from service.jobs.model import WAITING, Job, PausedQueue, State, is_in, is_waiting
from service.jobs.query import demand_room, find
from service.queues import SWEEP_ROWS

# What a retry by hand makes of a job. The reconciler rings, as often as the broker has room: of one that is cancelled
# and retried over and over, a message each time would fill it.
AGAIN: dict[str, Any] = {"state": State.QUEUED, "run_at": now(), "failures": 0, "crashes": 0, "losses": 0, **NO_ERROR}
AGAIN |= dict.fromkeys(("rung_at", "expires_at", "cancel_requested_at", "ended_at"))

# Jobs in a purge's first batch, and in the largest, to which they grow while one takes less than so many seconds.
FIRST_BATCH, MAX_BATCH, BATCH_SECONDS = 25, 100, 0.5


def cancel(job_id: str, *, by: str, client: str | None) -> Job:
    """Cancel what waits at once; ask what runs to stop.

    Raises:
        JobNotFound: there is none, or it is another client's.
        WrongState: the job has ended.
    """
    with _changing(job_id, client, {*WAITING, State.RUNNING}, "cancel") as (session, row):
        if row.state is not State.RUNNING:
            end(session, row, State.CANCELLED, by=by)
        elif row.cancel_requested_at is None:
            row.cancel_requested_at = now()
            record(session, row, "cancel requested", by=by)
    return row


def ask_stack(job_id: str, *, by: str, client: str | None) -> Job:
    """Ask where a running job is: with its next heartbeat, its worker puts the answer into the event of the question.

    Raises:
        JobNotFound, WrongState: as for `cancel`.
    """
    with _changing(job_id, client, {State.RUNNING}, "look into") as (session, row):
        record(session, row, "stack", by=by)
    return row


def retry(job_id: str, *, by: str, client: str | None) -> Job:
    """Queue a failed or cancelled job again with its budgets whole; `attempt` keeps rising.

    Raises:
        JobNotFound: as for `cancel`.
        WrongState: as for `cancel`, another job with its unique key waits or runs, or its batch has not ended.
        TooManyWaiting: MAX_WAITING_JOBS of the client's wait already.
    """
    with _changing(job_id, client, {State.FAILED, State.CANCELLED}, "retry") as (session, row):
        if client is not None:
            demand_room(session, row.client, row.callback_url, settings().max_waiting_jobs)
        _again(session, row, by)
    return row


def retry_all(task: str, error: str, *, by: str) -> int:
    """As `retry`, for the failed jobs of one task with one type of error, 1,000 at most; gives how many there were.

    Those stay whose unique key another job has by then.
    """
    same = (is_in(State.FAILED), Job.task == task, Job.error_type == error)
    oldest = select(Job).where(*same).order_by(Job.id).limit(SWEEP_ROWS)
    done = 0
    with transaction() as session:
        for row in session.scalars(oldest.with_for_update(skip_locked=True, key_share=True)).all():
            with suppress(WrongState):
                _again(session, row, by)
                done += 1
    return done


def discard(job_id: str, *, by: str, client: str | None) -> Job:
    """Take a failed job out of the dead letters: it becomes cancelled and keeps its error.

    Raises:
        JobNotFound, WrongState: as for `cancel`.
    """
    with _changing(job_id, client, {State.FAILED}, "discard") as (session, row):
        row.state = State.CANCELLED
        record(session, row, "discarded", by=by)
    return row


def move(job_id: str, queue: str, *, by: str, client: str | None) -> Job:
    """Let a waiting job run on another queue.

    Raises:
        JobNotFound, WrongState: as for `cancel`.
        UnknownQueue: the policy has none of this name.
    """
    known(queue)
    with _changing(job_id, client, WAITING, "move") as (session, row):
        # The old queue's doorbell finds nothing there; the reconciler rings on the new one, once the job is due.
        row.queue, row.rung_at = queue, None
        record(session, row, "moved", f"to {queue}", by=by)
    return row


def pause(queue: str, *, by: str) -> None:
    """Let the queue's jobs wait; those that run go on. Pausing twice changes nothing.

    Raises:
        UnknownQueue: the policy has none of this name.
    """
    known(queue)
    with transaction() as session:
        if session.get(PausedQueue, queue) is None:
            session.add(PausedQueue(name=queue, by=by))


def resume(queue: str) -> None:
    """Undo `pause`; the reconciler rings for what waited, for the oldest at its next sweep.

    Raises:
        UnknownQueue: the policy has none of this name.
    """
    known(queue)
    with transaction() as session:
        session.execute(delete(PausedQueue).where(PausedQueue.name == queue))
        waits = select(Job.id).where(Job.queue == queue, is_waiting)
        oldest = waits.order_by(Job.run_at).limit(SWEEP_ROWS).scalar_subquery()
        session.execute(update(Job).where(Job.id.in_(oldest)).values(rung_at=None))


def purge(older_than_days: float, *, seconds: float = math.inf) -> tuple[int, bool]:
    """Delete jobs that ended more than this many days ago, a batch to a transaction, for so many seconds.

    Small at first, because a job may have made megabytes that go with it; so do messages that were refused so long ago.
    Gives how many, and whether none is left.
    """
    ended = Job.ended_at < now(-86_400 * older_than_days)
    refused.forget(older_than_days)
    total, batch, more, end_at = 0, FIRST_BATCH, True, time.monotonic() + seconds
    while more and (began := time.monotonic()) < end_at:
        with transaction() as session:
            # Twice: one that was retried meanwhile has not ended any more.
            old = select(Job.id).where(ended).limit(batch)
            deleted = len(session.scalars(delete(Job).where(Job.id.in_(old), ended).returning(Job.id)).all())
        total, more = total + deleted, deleted == batch
        batch = min(2 * batch, MAX_BATCH) if time.monotonic() - began < BATCH_SECONDS else max(1, batch // 2)
    return total, not more


def known(queue: str) -> None:
    """Raise UnknownQueue unless the policy has this queue."""
    if queue not in (queues := settings().queues):
        raise UnknownQueue(f"expected queue to be one of {', '.join(queues)}, got: {queue}", field="queue")


def _again(session: Session, row: Job, by: str) -> None:
    if session.scalar(select(Job.id).where(Job.batch_id == row.id, Job.ended_at.is_(None)).limit(1)) is not None:
        raise WrongState("expected the batch that a job follows to have ended, got: one with open jobs")
    try:
        with session.begin_nested():
            for name, value in AGAIN.items():
                setattr(row, name, value)
    except IntegrityError as error:
        raise WrongState("expected a job's unique_key to be free, got: another that waits or runs") from error
    record(session, row, "retried by hand", by=by)


@contextmanager
def _changing(job_id: str, client: str | None, allowed: Collection[State], verb: str) -> Iterator[tuple[Session, Job]]:
    with transaction() as session:
        row = find(session, job_id, client, lock=True)
        if row.state not in allowed:
            raise WrongState(f"expected a job to {verb} to be one of {', '.join(sorted(allowed))}, got: {row.state}")
        yield session, row
        session.flush()
        session.refresh(row)

"""What becomes of jobs whose attempt did not live to say: crashed, timed out, lost, overdue, or handed back."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from service.database import now, standalone, transaction
from service.jobs import doorbell
from service.jobs.ending import end
from service.jobs.history import record
from service.jobs.model import Job, Process, State, is_running, is_waiting
from service.jobs.query import presumed_dead
from service.queues import MAX_CRASHES, MAX_LOSSES, SWEEP_ROWS

# The type of the dead letter when a budget is used up, how large the budget is, and the seconds before the job is tried
# again, which double with each crash.
ENDS = {"crashes": ("poison", MAX_CRASHES, 0.5), "losses": ("lost", MAX_LOSSES, 0.0)}


def crashed(job_id: str, worker: str, pid: int | None, reason: str) -> None:
    """The process that ran the job died; its worker lives and says so.

    A process may die over a second doorbell of a job that another one runs: its job is the one that it has claimed,
    and those that the job carries.
    """
    _abandon(_in_hand(job_id, worker, pid), "crashes", "crashed", reason, skip_locked=False)


def lost() -> int:
    """Queue the jobs of workers that missed their heartbeats; gives how many there were."""
    alive = select(Process.id).where(Process.seen_at > presumed_dead())
    return _abandon(Job.worker.not_in(alive), "losses", "lost", "its worker was not heard of any more")


def overdue() -> int:
    """Queue the jobs that ran past their deadline although their worker lives; gives how many there were."""
    return _abandon(Job.deadline < now(), "losses", "overdue", "its worker lives, and has forgotten it")


def hand_back(worker: str) -> list[int]:
    """Queue what a worker that must stop has not finished, counted in no budget; gives the processes that ran it."""
    with transaction() as session:
        rows = _locked(session, is_running, Job.worker == worker, skip_locked=False)
        pids = [row.pid for row in rows if row.pid is not None]
        for row in rows:
            _queue_again(session, row, "handed back", "its worker was stopped")
    return pids


def running(job_id: str, worker: str, pid: int | None) -> Job | None:
    """The job, or one that it carries, if this process has it in hand."""
    with standalone() as session:
        return session.scalar(select(Job).where(_in_hand(job_id, worker, pid), is_running))


def cancelled_processes(worker: str) -> list[tuple[int, float]]:
    """The processes of this worker whose job was cancelled, and how many seconds ago; not of one that it carries."""
    with standalone() as session:
        mine = (Job.worker == worker, is_running, Job.cancel_requested_at.is_not(None), Job.carried_by.is_(None))
        found = session.execute(select(Job.pid, Job.cancel_requested_at, now()).where(*mine)).all()
        return [(pid, (present - asked).total_seconds()) for pid, asked, present in found if pid and asked]


def unknown_here(job_id: str, task: str) -> None:
    """Say of a job that it waits for a worker that knows its task; the reconciler rings for it again."""
    with transaction() as session:
        waits = (Job.id == job_id, Job.task == task, is_waiting, Job.waiting_for.is_distinct_from("task"))
        row = session.scalar(update(Job).where(*waits).values(waiting_for="task").returning(Job))
        if row is not None:
            record(session, row, "unknown here", f"a worker that does not know {row.task} passed it on")


def expire() -> int:
    """Cancel what nobody wanted any more by the time it could have run; gives how many there were."""
    with transaction() as session:
        rows = _locked(session, is_waiting, Job.expires_at < now())
        for row in rows:
            end(session, row, State.CANCELLED, "it was not wanted after its expires_at", event="expired")
    return len(rows)


def _in_hand(job_id: str, worker: str, pid: int | None) -> ColumnElement[bool]:
    return (Job.worker == worker) & (Job.pid == pid) & ((Job.id == job_id) | (Job.carried_by == job_id))


def _abandon(which: ColumnElement[bool], budget: str, event: str, reason: str, *, skip_locked: bool = True) -> int:
    with transaction() as session:
        rows = _locked(session, is_running, which, skip_locked=skip_locked)
        for row in rows:
            spent = getattr(row, budget) + 1
            setattr(row, budget, spent)
            type_, limit, wait = ENDS[budget]
            if spent >= limit and row.cancel_requested_at is None:
                error = {"error_type": type_, "error_message": f"{event} {spent} times, the last time: {reason}"}
                end(session, row, State.FAILED, ": ".join(error.values()), by=row.worker, **error)
            else:
                _queue_again(session, row, event, reason, wait * 2 ** (spent - 1))
    return len(rows)


def _locked(session: Session, *which: ColumnElement[bool], skip_locked: bool = True) -> Sequence[Job]:
    # A sweep comes again and may leave out a row that somebody holds; what is told once waits for it. The lock lets
    # rows refer to the job meanwhile: a task that inserted one holds such a reference until its transaction ends.
    query = select(Job).where(*which).limit(SWEEP_ROWS)
    return session.scalars(query.with_for_update(skip_locked=skip_locked, key_share=True)).all()


def _queue_again(session: Session, row: Job, event: str, reason: str, wait: float = 0.0) -> None:
    if row.cancel_requested_at is not None:
        end(session, row, State.CANCELLED, reason, by=row.worker)
        return
    record(session, row, event, reason, by=row.worker)
    row.state, row.run_at, row.rung_at = State.QUEUED, now(wait), now(wait)
    row.worker = row.pid = row.deadline = row.carried_by = None
    doorbell.ring(session, row, wait)
    doorbell.ring_next(session, row)

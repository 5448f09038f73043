"""The tables of the job store."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ColumnElement, Enum, ForeignKey, Index, Integer, Text, Uuid, select, text
from sqlalchemy.orm import Mapped, aliased, mapped_column
from sqlalchemy.sql import func, literal_column

from service.database import Base, Timestamp, new_id, now


class State(enum.StrEnum):
    """Where a job stands; the last three are its ends."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITING = (State.QUEUED, State.RETRYING)
ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


_state = Enum(State, native_enum=False, length=16, values_callable=lambda states: [state.value for state in states])


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of some rows only, which stays small however many jobs have ended; its name says if it is unique."""
    return Index(name, *columns, unique=name.startswith("uq"), postgresql_where=text(where), sqlite_where=text(where))


class Job(Base):
    """One piece of accepted work: the row is the truth about it."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    task: Mapped[str] = mapped_column(Text)
    queue: Mapped[str] = mapped_column(Text)
    kwargs: Mapped[dict[str, Any]] = mapped_column(JSON)
    client: Mapped[str] = mapped_column(Text)
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text)
    # Of a client's jobs with one unique_key one waits or runs; of all jobs with one lock_key one runs.
    unique_key: Mapped[str | None] = mapped_column(Text)
    lock_key: Mapped[str | None] = mapped_column(Text)
    # Where the job is posted when it has ended.
    callback_url: Mapped[str | None] = mapped_column(Text)
    # The batch that it is one of, and the job that follows when all of that have ended, if one does.
    batch_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    # The steps of the pipeline that it is one of, in order: of each the id, task, queue and arguments of its job.
    steps: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    # While it runs together with others: the job in whose attempt it does.
    carried_by: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    # What the request was known by, so that the worker's log lines and traces continue it.
    context: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    state: Mapped[State] = mapped_column(_state, default=State.QUEUED)
    waiting_for: Mapped[str | None] = mapped_column(Text)
    run_at: Mapped[datetime] = mapped_column(Timestamp, default=now())
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # When its doorbell was last rung; NULL asks the reconciler to ring once run_at has come.
    rung_at: Mapped[datetime | None] = mapped_column(Timestamp)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(Timestamp)

    # The number of the claim: it only rises, and fences every later write.
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    crashes: Mapped[int] = mapped_column(Integer, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None] = mapped_column(Text)
    pid: Mapped[int | None] = mapped_column(Integer)
    deadline: Mapped[datetime | None] = mapped_column(Timestamp)

    progress_done: Mapped[int | None] = mapped_column(BigInteger)
    progress_total: Mapped[int | None] = mapped_column(BigInteger)
    progress_message: Mapped[str | None] = mapped_column(Text)
    result: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    error_type: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    traceback: Mapped[str | None] = mapped_column(Text)

    created_at: Mapped[datetime] = mapped_column(Timestamp, default=now())
    started_at: Mapped[datetime | None] = mapped_column(Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column(Timestamp)

    __table_args__ = (
        _partial("ix_jobs_waiting", "queue", "run_at", where="state IN ('queued', 'retrying')"),
        _partial("ix_jobs_rung", "rung_at", "run_at", where="state IN ('queued', 'retrying')"),
        _partial("ix_jobs_waiting_client", "client", where="state IN ('queued', 'retrying')"),
        _partial("ix_jobs_expiring", "expires_at", where="state IN ('queued', 'retrying')"),
        _partial("ix_jobs_running", "worker", "deadline", where="state = 'running'"),
        _partial("ix_jobs_company", "task", "run_at", where="state IN ('queued', 'retrying') AND lock_key IS NULL"),
        _partial("ix_jobs_waiting_for", "waiting_for", "id", where="waiting_for IS NOT NULL"),
        _partial("ix_jobs_failed", "id", where="state = 'failed'"),
        _partial("ix_jobs_dead_letters", "queue", where="state = 'failed'"),
        _partial("ix_jobs_ended", "ended_at", where="ended_at IS NOT NULL"),
        _partial("ix_jobs_batch", "batch_id", "id", where="batch_id IS NOT NULL"),
        _partial("ix_jobs_batch_open", "batch_id", "id", where="batch_id IS NOT NULL AND ended_at IS NULL"),
        _partial("uq_jobs_idempotency", "client", "idempotency_key", where="idempotency_key IS NOT NULL"),
        _partial("uq_jobs_unique", "client", "unique_key", where="ended_at IS NULL AND unique_key IS NOT NULL"),
        _partial("uq_jobs_lock", "lock_key", where="state = 'running' AND lock_key IS NOT NULL"),
        _partial("ix_jobs_lock", "lock_key", "id", where="state IN ('queued', 'retrying') AND lock_key IS NOT NULL"),
        Index("ix_jobs_client", "client", "id"),
    )


# As conditions with their values written out: with parameters neither database would use the partial indexes.
def is_in(state: State, jobs: type[Job] = Job) -> ColumnElement[bool]:
    """Whether a job is in this state."""
    return jobs.state == literal_column(f"'{state}'")


def is_ready(jobs: type[Job] = Job) -> ColumnElement[bool]:
    """Whether a job waits and could run now, but for its lock."""
    return jobs.state.in_(_waits) & (jobs.run_at <= now()) & jobs.queue.not_in(select(PausedQueue.name))


_waits: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in WAITING]
is_waiting = Job.state.in_(_waits)
is_running = is_in(State.RUNNING)


class Event(Base):
    """One thing that happened to a job: a change of state, or a line that the task logged."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(Timestamp, default=now())
    attempt: Mapped[int] = mapped_column(Integer)
    event: Mapped[str] = mapped_column(Text)
    message: Mapped[str | None] = mapped_column(Text)
    # Who did it: a client's or worker's name.
    by: Mapped[str | None] = mapped_column(Text)


class Task(Base):
    """The catalogue: a task that some worker knows, and how to call it."""

    __tablename__ = "tasks"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    queue: Mapped[str] = mapped_column(Text)
    schema: Mapped[dict[str, Any]] = mapped_column(JSON)
    soft_limit: Mapped[float]
    hard_limit: Mapped[float]
    max_retries: Mapped[int]
    version: Mapped[str] = mapped_column(Text)
    announced_at: Mapped[datetime] = mapped_column(Timestamp, default=now(), onupdate=now())


class PausedQueue(Base):
    """A queue whose jobs wait until an operator resumes it."""

    __tablename__ = "paused_queues"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    paused_at: Mapped[datetime] = mapped_column(Timestamp, default=now())
    by: Mapped[str] = mapped_column(Text)


# Of a job: it has no lock, or nobody has that lock and nobody who is ready for it was submitted before. Its own columns
# have their whole names, since SQLAlchemy leaves out the tables' behind RETURNING.
_other = aliased(Job, name="other")
_same = select(_other.id).where(_other.lock_key == literal_column("jobs.lock_key"))
_earlier = _same.where(_other.id < literal_column("jobs.id"), is_ready(_other))
is_free = ~(_same.where(is_in(State.RUNNING, _other)).exists() | _earlier.exists())

# The same for a look at very many, of ready ones: all locks are looked at once, and not again for each job.
_place = func.row_number().over(partition_by=_other.lock_key, order_by=_other.id).label("place")
_ranked = select(_other.id, _place).where(_other.lock_key.is_not(None), is_ready(_other)).subquery()
_held = select(_other.lock_key).where(is_in(State.RUNNING, _other), _other.lock_key.is_not(None))
_first = Job.id.in_(select(_ranked.c.id).where(_ranked.c.place == 1)) & Job.lock_key.not_in(_held)
is_next = Job.lock_key.is_(None) | _first


class Process(Base):
    """A worker or a beat, and when it last said that it lives."""

    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    role: Mapped[str] = mapped_column(Text)
    queue: Mapped[str | None] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(Timestamp, default=now())
    seen_at: Mapped[datetime] = mapped_column(Timestamp, default=now())


class Lease(Base):
    """A duty that one process has at a time, until it lets the lease expire."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    holder: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)

"""Schedules: what is due by the clock is submitted once, whoever asks, and what could not be is told.

A row says when each is due next. Whoever submits a run moves that moment on in the same transaction, so that neither
two beats nor one that was frozen and wakes can do it again; and what lies between was missed.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Text, Uuid, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from service import database
from service.database import Base, Timestamp, new_id, standalone, transaction
from service.errors import ServiceError, WrongState
from service.jobs import Job, casualties, submit
from service.jobs.history import record
from service.observe import committed, metrics
from service.queues import SCHEDULE
from service.schedules import Schedule

log = structlog.get_logger()

# Runs of one schedule that are looked at in one transaction; and seconds after which a transaction is given up whose
# beat was frozen in the middle of it, and seconds after which a run that is due is called late.
MAX_RUNS, FROZEN_SECONDS, LATE_SECONDS = 1000, 10, 60.0


class UnknownSchedule(ServiceError, status=404, title="Unknown schedule"):
    """There is no such schedule; `GET /v1/schedules` lists those that exist."""


class Clock(Base):
    """When a schedule is due next, by which line that was reckoned, and what became of the runs before."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    line: Mapped[str] = mapped_column(Text)
    due_at: Mapped[datetime] = mapped_column(Timestamp)
    last_at: Mapped[datetime | None] = mapped_column(Timestamp)
    last_job_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    missed: Mapped[int] = mapped_column(default=0)
    missed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    paused_at: Mapped[datetime | None] = mapped_column(Timestamp)
    paused_by: Mapped[str | None] = mapped_column(Text)


class Status(NamedTuple):
    """A schedule as it is declared, and how it stands; `missed` counts runs that were due and never submitted."""

    name: str
    task: str
    cron: str
    timezone: str
    overlap: str
    paused: bool
    next_at: datetime | None
    late: bool
    paused_at: datetime | None
    paused_by: str | None
    last_at: datetime | None
    last_job_id: str | None
    missed: int
    missed_at: datetime | None


KEPT = ("paused_at", "paused_by", "last_at", "last_job_id", "missed", "missed_at")


def submit_due(present: datetime) -> float:
    """Submit the runs that are due at this moment of the store's clock; gives the seconds until the next is.

    Raises:
        SQLAlchemyError: the store is away.
    """
    waits = [timedelta.max]
    for name, schedule, row in _rows():
        try:
            if row.line != _line(schedule) or row.due_at <= present:
                # A run before that waits, and is wanted no more, is not one to be skipped for.
                casualties.expire()
                row.due_at = _turn(name, schedule, present)
            waits.append(row.due_at - present)
        except ServiceError as error:
            log.warning("run of the schedule refused, trying again", entry=name, error=type(error).__name__)
    return min(waits).total_seconds()


def statuses() -> Iterator[Status]:
    """Every schedule that is declared, and how it stands."""
    present = database.present()
    for name, schedule, row in _rows():
        due = row.due_at if row.line == _line(schedule) and row.paused_at is None else None
        late = due is not None and (present - due).total_seconds() > LATE_SECONDS
        declared = schedule.model_dump(include={"task", "cron", "timezone", "overlap"})
        kept = {column: getattr(row, column) for column in KEPT}
        yield Status(name=name, **declared, **kept, paused=row.paused_at is not None, next_at=due, late=late)


def status(name: str) -> Status:
    """How one schedule stands.

    Raises:
        UnknownSchedule: none of this name is declared.
    """
    _known(name)
    return next(each for each in statuses() if each.name == name)


def pause(name: str, *, by: str) -> None:
    """Submit no more runs of it, and count none as missed; pausing twice changes nothing.

    Raises:
        UnknownSchedule: none of this name is declared.
    """
    _switch(name, by, pause=True)


def resume(name: str, *, by: str) -> None:
    """Undo `pause`, from its next time on; resuming twice changes nothing.

    Raises:
        UnknownSchedule: none of this name is declared.
    """
    _switch(name, by, pause=False)


def fire(name: str, *, by: str) -> Job:
    """Submit a run now, also of one that is paused; the rule about overlaps is that of any run.

    Raises:
        UnknownSchedule: none of this name is declared.
        WrongState: the run before has not ended, and overlaps are skipped.
        UnknownTask, InvalidArguments: as for any job.
    """
    schedule, key = _known(name), f"{name}@{new_id()}"
    with transaction() as session:
        job = _submit(session, name, schedule, key)
        if job.idempotency_key != key:
            raise WrongState(f"expected no run of {name} that waits or runs, got: {job.id}; wait, or cancel it")
        record(session, job, "fired", by=by)
        _tell(session, "schedule fired", entry=name, client=by, job_id=job.id)
    return job


def _rows() -> Iterator[tuple[str, Schedule, Clock]]:
    """The schedules that are declared, each with its row, or with one that says nothing yet."""
    with standalone() as session:
        rows = {row.name: row for row in session.scalars(select(Clock))}
    for name, schedule in SCHEDULE.items():
        yield name, schedule, rows.get(name) or Clock(missed=0)


def _turn(name: str, schedule: Schedule, present: datetime) -> datetime:
    """Submit the runs that are due by now, or say that they were missed; gives when the next is."""
    with transaction() as session:
        row = _locked(session, name, schedule, present)
        times = islice(chain([row.due_at], schedule.times(row.due_at)), MAX_RUNS + 1)
        passed = [(due, following) for due, following in pairwise(times) if due <= present]
        row.due_at = passed[-1][1] if passed else row.due_at
        if row.paused_at is not None or not passed:
            return row.due_at
        lasts = schedule.expires and timedelta(seconds=schedule.expires)
        runs = [(due, due + lasts if lasts else following) for due, following in passed]
        wanted = [(due, until) for due, until in runs if until > present]
        for due, until in wanted:
            _run(session, row, schedule, due, until)
        if missed := len(runs) - len(wanted):
            row.missed, row.missed_at = row.missed + missed, runs[missed - 1][0]
            _tell(session, "runs of the schedule missed", "missed", entry=name, count=missed, due=f"{row.missed_at}")
        return row.due_at


def _run(session: Session, row: Clock, schedule: Schedule, due: datetime, until: datetime) -> None:
    key = f"{row.name}@{due:%Y-%m-%dT%H:%MZ}"
    job = _submit(session, row.name, schedule, key, until)
    if job.idempotency_key == key:
        row.last_at, row.last_job_id, came_to = due, job.id, "submitted"
    else:
        record(session, job, "run skipped", f"that of {due:%Y-%m-%dT%H:%MZ}, since this one has not ended")
        came_to = "skipped"
    _tell(session, f"periodic job {came_to}", came_to, entry=row.name, job_id=job.id, due=f"{due}")


def _submit(session: Session, name: str, schedule: Schedule, key: str, until: datetime | None = None) -> Job:
    """The run's job; where overlaps are skipped and another has not ended, that one."""
    whole = f"schedule {name}"
    keys: Mapping[str, Any] = {"skip": {"unique_key": whole}, "queue": {"lock_key": whole}, "allow": {}}
    common: Any = {"client": "beat", "idempotency_key": key, "expires_at": until, "session": session}
    return submit(schedule.task, schedule.kwargs, **common, **keys[schedule.overlap])


def _switch(name: str, by: str, *, pause: bool) -> None:
    schedule, present = _known(name), database.present()
    with transaction() as session:
        row = _locked(session, name, schedule, present)
        if (row.paused_at is not None) == pause:
            return
        row.paused_at, row.paused_by = (present, by) if pause else (None, None)
        if not pause and row.due_at <= present:
            row.due_at = next(schedule.times(present))
        _tell(session, f"schedule {'paused' if pause else 'resumed'}", entry=name, client=by)


def _locked(session: Session, name: str, schedule: Schedule, present: datetime) -> Clock:
    """The schedule's row, made if there is none, and begun anew if its line has changed."""
    if session.get_bind().dialect.name == "postgresql":
        # A beat that is frozen here would hold the row for as long.
        session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{FROZEN_SECONDS}s'"))
    fresh: Any = {"line": _line(schedule), "due_at": next(schedule.times(present))}
    if (row := session.get(Clock, name, with_for_update=True)) is None:
        with suppress(IntegrityError), session.begin_nested():
            session.add(Clock(name=name, **fresh))
        row = session.get_one(Clock, name, with_for_update=True, populate_existing=True)
    if row.line != fresh["line"]:
        row.line, row.due_at = fresh["line"], fresh["due_at"]
    return row


def _tell(session: Session, said: str, counted: str | None = None, **fields: Any) -> None:
    """Log it, and count it, once it is committed; what was missed is an error."""
    say = log.error if counted == "missed" else log.info
    committed.then(session, lambda: say(said, **fields))
    if counted is not None:
        committed.then(session, lambda: metrics.count(f"schedule.{counted}", entry=fields["entry"]))


def _line(schedule: Schedule) -> str:
    return f"{schedule.cron} {schedule.timezone}"


def _known(name: str) -> Any:
    if name not in SCHEDULE:
        raise UnknownSchedule(f"expected schedule to be one of {', '.join(SCHEDULE)}, got: {name}", field="name")
    return SCHEDULE[name]

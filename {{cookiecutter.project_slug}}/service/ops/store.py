"""What the page asks of the store beside `jobs/query.py`: bounded, so that it is as quick with 100,000 jobs."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Row, String, Text, cast, extract, func, or_, select

from service.database import now, standalone
from service.jobs.model import Event, Job, Process, State, is_in, is_running, is_waiting
from service.jobs.query import COUNT_CAP, presumed_dead

# Jobs on a page; rows that one page looks through for what it is asked, and characters of each one's arguments; events
# of a job; running jobs; groups of dead letters.
PER_PAGE, LOOKED_THROUGH, SEARCHED, EVENTS, RUNNING, GROUPS = 50, 5_000, 2_000, 300, 10, 500

# What is queued or retrying, as a queue counts it.
WAITS = "waiting"

# The states that have no index, since so many jobs are in them.
UNINDEXED = (State.SUCCEEDED, State.CANCELLED)

# Minutes of a chart, and jobs that are counted for it.
MINUTES, COUNTED = 60, 10_000

COLUMNS: tuple[Any, ...] = (
    Job.id,
    Job.task,
    Job.queue,
    Job.state,
    Job.client,
    Job.attempt,
    Job.error_type,
    Job.waiting_for,
    Job.run_at,
)
COLUMNS += (Job.created_at, Job.started_at, Job.ended_at, Job.progress_done, Job.progress_total)

Found = Sequence[Row[*tuple[Any, ...]]]


@dataclass(frozen=True)
class Wanted:
    """Which jobs; times are those at which they were accepted, and `text` may stand in anything a person would know."""

    state: str | None = None
    task: str | None = None
    queue: str | None = None
    client: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None


@dataclass(frozen=True)
class Group:
    """Dead letters of one task and error; `latest` is the id of the last, `message` the beginning of its error."""

    task: str
    error: str
    count: int
    latest: str
    message: str
    at: datetime


@dataclass(frozen=True)
class Flow:
    """What went through each queue by the minute, the present one last: accepted, and ended in each state."""

    accepted: dict[str, list[int]]
    ended: dict[tuple[str, State], list[int]]
    # Whether there was more than was counted, in which case the oldest minutes are too low.
    capped: bool


def listing(wanted: Wanted, cursor: str | None) -> tuple[Found, str | None]:
    """Jobs from the newest to the oldest, and the cursor of the next page, which may come before this one is full.

    `cursor` is the id of the last job that was looked at.
    """
    near: list[ColumnElement[bool]] = [Job.client == wanted.client] if wanted.client else []
    state = is_waiting if wanted.state == WAITS else is_in(State(wanted.state)) if wanted.state else None
    near += [state] if state is not None and wanted.state not in UNINDEXED else []
    near += [Job.id >= _first_id(wanted.since)] if wanted.since else []
    near += [Job.id < _first_id(wanted.until)] if wanted.until else []
    near += [Job.id < cursor] if cursor else []
    pairs = ((Job.task, wanted.task), (Job.queue, wanted.queue), (Job.error_type, wanted.error))
    far = [column == value for column, value in pairs if value is not None]
    far += [state] if state is not None and wanted.state in UNINDEXED else []
    far += [_mentions(wanted.text)] if wanted.text else []
    newest = select(Job.id).where(*near).order_by(Job.id.desc())
    found = select(*COLUMNS).order_by(Job.id.desc()).limit(PER_PAGE + 1)
    with standalone() as session:
        if not far:
            rows, edge = session.execute(found.where(*near)).all(), None
        else:
            window = newest.limit(LOOKED_THROUGH).subquery()
            rows = session.execute(found.join(window, window.c.id == Job.id).where(*far)).all()
            edge = session.scalar(newest.offset(LOOKED_THROUGH - 1).limit(1)) if len(rows) <= PER_PAGE else None
    return (rows[:PER_PAGE], rows[PER_PAGE - 1].id) if len(rows) > PER_PAGE else (rows, edge)


def history(job_id: str) -> Sequence[Event]:
    """The last of what happened to a job, oldest first."""
    last = select(Event).where(Event.job_id == job_id).order_by(Event.id.desc()).limit(EVENTS)
    with standalone() as session:
        return session.scalars(last).all()[::-1]


def dead_letters() -> tuple[list[Group], bool]:
    """The latest 10,000 dead letters by task and error, most first; and whether there are more."""
    latest = select(Job.id, Job.task, Job.error_type, Job.ended_at).where(is_in(State.FAILED))
    window = latest.order_by(Job.id.desc()).limit(COUNT_CAP).subquery()
    number = func.count().label("number")
    last, at = func.max(cast(window.c.id, String)), func.max(window.c.ended_at)
    by = (window.c.task, window.c.error_type)
    with standalone() as session:
        rows = session.execute(select(*by, number, last, at).group_by(*by).order_by(number.desc()).limit(GROUPS)).all()
        ids = [str(UUID(row[3])) for row in rows]
        words = select(Job.id, func.substr(Job.error_message, 1, 300)).where(Job.id.in_(ids))
        said: dict[str, str] = dict(session.execute(words).all())
    groups = [
        Group(task, error or "", count, job_id, said.get(job_id) or "", when)
        for (task, error, count, _, when), job_id in zip(rows, ids, strict=True)
    ]
    return groups, len(groups) == GROUPS or sum(group.count for group in groups) >= COUNT_CAP


def running() -> Found:
    """The jobs that have run longest."""
    longest = select(*COLUMNS, Job.deadline).where(is_running).order_by(Job.started_at).limit(RUNNING)
    with standalone() as session:
        return session.execute(longest).all()


def silent() -> Sequence[Process]:
    """Workers and beats that were not heard of for so long that they are presumed dead, for an hour after."""
    with standalone() as session:
        return session.scalars(select(Process).where(Process.seen_at <= presumed_dead()).order_by(Process.id)).all()


def flow() -> Flow:
    """What was accepted and what ended within the last hour."""
    with standalone() as session:
        present = session.execute(select(now(), cast(extract("epoch", now()), BigInteger) // 60)).one()
        accepted = _by_minute(Job.created_at, Job.id >= _first_id(present[0], MINUTES), Job.id)
        ended = _by_minute(Job.ended_at, Job.ended_at >= now(-60 * MINUTES), Job.ended_at)
        arrivals, ends = session.execute(accepted).all(), session.execute(ended).all()
    made = Flow({}, {}, max(sum(row.number for row in rows) for rows in (arrivals, ends)) >= COUNTED)
    for row in arrivals:
        _add(made.accepted.setdefault(row.queue, [0] * MINUTES), row, present[1])
    for row in ends:
        _add(made.ended.setdefault((row.queue, row.state), [0] * MINUTES), row, present[1])
    return made


def _by_minute(moment: Any, recent: ColumnElement[bool], order: Any) -> Any:
    window = select(Job.queue, Job.state, moment.label("at")).where(recent).order_by(order.desc()).limit(COUNTED)
    inner = window.subquery()
    minute = (cast(extract("epoch", inner.c.at), BigInteger) // 60).label("minute")
    by = (inner.c.queue, inner.c.state, minute)
    return select(*by, func.count().label("number")).group_by(*by)


def _add(minutes: list[int], row: Row[*tuple[Any, ...]], present: int) -> None:
    ago = present - row.minute
    if 0 <= ago < MINUTES:
        minutes[MINUTES - 1 - ago] += row.number


def _mentions(text: str) -> ColumnElement[bool]:
    # One long text, which is compared once; arguments are in it as JSON writes them.
    optional = (Job.idempotency_key, Job.error_type, Job.error_message, Job.progress_message)
    arguments = func.substr(cast(Job.kwargs, Text), 1, SEARCHED)
    words = [Job.task, Job.client, arguments, *(func.coalesce(column, "") for column in optional)]
    whole = functools.reduce(lambda before, after: before + " " + after, words)
    return or_(*(whole.icontains(spelt, autoescape=True) for spelt in {text, json.dumps(text)[1:-1]}))


def _first_id(moment: datetime, minutes_before: int = 0) -> str:
    """The least id that a job accepted then can have: ids begin with the time in milliseconds."""
    milliseconds = int((moment.timestamp() - 60 * minutes_before) * 1000)
    return str(UUID(int=max(0, milliseconds) << 80))

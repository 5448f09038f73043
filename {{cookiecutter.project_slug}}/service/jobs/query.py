"""Reading jobs and queues."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, case, func, literal_column, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from service.config import settings
from service.database import now, standalone
from service.errors import JobNotFound, TooManyWaiting
from service.jobs.model import WAITING, Event, Job, PausedQueue, Process, State, is_free, is_in, is_ready, is_waiting
from service.queues import WEBHOOK_CLIENT

# Counting further would read the whole backlog; readers show it as "10,000+".
COUNT_CAP = 10_000

Given = str | None

# A process may give away a share of the room that it found for a client, for so many seconds, before it counts again:
# so many processes together stay within the limit.
SHARE = 16
ROOM_SECONDS = 1.0
_room: dict[tuple[str, ...], tuple[float, int]] = {}


class Page(NamedTuple):
    """Some jobs, newest first, and where the next page begins."""

    jobs: Sequence[Job]
    next_cursor: str | None


class QueueStatus(NamedTuple):
    """One queue as it stands; counts stop at 10,000, `oldest_seconds` is the longest wait past its time."""

    name: str
    depth: int
    running: int
    dead_letters: int
    oldest_seconds: float
    paused: PausedQueue | None
    workers: Sequence[Process]


def get(job_id: str, client: str | None) -> Job:
    """One job; `client` None sees everyone's.

    Raises:
        JobNotFound: also when the job is another client's.
    """
    with standalone() as session:
        row = find(session, job_id, client)
        _explain(session, [row])
        return row


def find(session: Session, job_id: str, client: str | None, *, lock: bool = False) -> Job:
    """As `get`, within `session`; `lock` keeps the row from changing until the transaction ends."""
    row = session.get(Job, job_id.lower(), with_for_update={"key_share": True} if lock else None)
    if row is None or (client is not None and row.client != client):
        raise JobNotFound
    return row


def page(client: Given, state: Given = None, limit: int = 50, cursor: Given = None, **equal: Given) -> Page:
    """Jobs from the newest to the oldest; ids rise with time, so a page neither repeats nor skips while jobs are added.

    `cursor` is the `next_cursor` of the page before: its last job's id. `equal` are columns, as `task` or `batch_id`.
    """
    wanted = {"client": client, **equal}
    query = select(Job).where(*(getattr(Job, name) == value for name, value in wanted.items() if value is not None))
    if state:
        query = query.where(is_in(State(state)))
    if cursor:
        query = query.where(Job.id < cursor.lower())
    with standalone() as session:
        rows = session.scalars(query.order_by(Job.id.desc()).limit(limit + 1)).all()
        _explain(session, rows)
    return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def events(job_id: str, client: str | None) -> Sequence[Event]:
    """What happened to a job, oldest first.

    Raises:
        JobNotFound: also when the job is another client's.
    """
    with standalone() as session:
        row = find(session, job_id, client)
        return session.scalars(select(Event).where(Event.job_id == row.id).order_by(Event.id)).all()


def queues() -> list[QueueStatus]:
    """Every queue of the policy, with its living workers."""
    workers = alive("worker")
    with standalone() as session:
        paused = {row.name: row for row in session.scalars(select(PausedQueue))}
        return [_queue(session, name, paused.get(name), workers) for name in settings().queues]


def alive(role: str) -> Sequence[Process]:
    """The processes of a role that were heard of, "worker" or "beat"."""
    query = select(Process).where(Process.role == role, Process.seen_at > presumed_dead()).order_by(Process.id)
    with standalone() as session:
        return session.scalars(query).all()


def demand_room(session: Session, client: str, callback_url: str | None, may_wait: int, jobs: int = 1) -> None:
    """Refuse jobs of a client of which more would wait than may, counting deliveries too if it orders one more.

    Raises:
        TooManyWaiting: it has.
    """
    clients = (client,) if not callback_url else (client, WEBHOOK_CLIENT.format(client))
    until, room = _room.get(clients, (0.0, 0))
    if room < jobs or time.monotonic() > until:
        left = may_wait - count(session, Job.client.in_(clients), is_waiting, cap=may_wait)
        if left < jobs:
            raise TooManyWaiting
        until, room = time.monotonic() + ROOM_SECONDS, max(jobs, left // SHARE)
    _room[clients] = until, room - jobs


def presumed_dead() -> now:
    """The moment before which a process must have been seen to count as alive."""
    return now(-settings().heartbeat_limit)


def count(session: Session, *where: ColumnElement[bool], cap: int = COUNT_CAP) -> int:
    """How many such jobs there are, up to `cap`."""
    capped = select(literal_column("1")).where(*where).select_from(Job).limit(cap).subquery()
    return session.scalar(select(func.count()).select_from(capped)) or 0


def _queue(session: Session, name: str, paused: PausedQueue | None, workers: Sequence[Process]) -> QueueStatus:
    states = (is_waiting, is_in(State.RUNNING), is_in(State.FAILED))
    depth, running, dead = (count(session, Job.queue == name, state) for state in states)
    oldest = select(Job.run_at, now()).where(Job.queue == name, is_waiting).order_by(Job.run_at).limit(1)
    first = session.execute(oldest).first()
    waited = max(0.0, (first[1] - first[0]).total_seconds()) if first else 0.0
    return QueueStatus(name, depth, running, dead, waited, paused, [each for each in workers if each.queue == name])


def _explain(session: Session, rows: Sequence[Job]) -> None:
    """Say of waiting jobs that their queue is paused or their lock not free, which is not stored with each job."""
    waiting = {row.id: row for row in rows if row.state in WAITING}
    paused = Job.queue.in_(select(PausedQueue.name))
    why = case((paused, "pause"), (is_ready() & ~is_free, "lock " + Job.lock_key), else_=Job.waiting_for)
    for job_id, said in session.execute(select(Job.id, why).where(Job.id.in_(waiting))) if waiting else ():
        set_committed_value(waiting[job_id], "waiting_for", said)

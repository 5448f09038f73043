"""Who lives, and where it is: the rows of workers and beats, and the leases of what only one of them may do."""

import os
import socket
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, exists, literal_column, or_, select, update

from service.config import settings
from service.database import new_id, now, standalone
from service.jobs.model import Event, Job, Lease, Process, is_ready, is_running, is_waiting
from service.jobs.query import presumed_dead
from service.observe import values

# Where is it? The question is an event of a running job, and its worker puts the answer into it. So many processes are
# looked at with one heartbeat, a fifth of a second each.
PROCESSES = 5

unanswered = (Event.event == "stack", Event.message.is_(None))

# Of a job: somebody asked. The column's whole name, since SQLAlchemy leaves out the tables' behind RETURNING.
is_asked = exists().where(Event.job_id == literal_column("jobs.id"), *unanswered)


def name(role: str, queue: str | None) -> str:
    """An id for this process that no other has or had: `worker-fast@host:pid:…`."""
    return f"{role}{f'-{queue}' if queue else ''}@{socket.gethostname()}:{os.getpid()}:{new_id()[-6:]}"


def pulse(process: str, role: str, queue: str | None) -> Row[bool, bool]:
    """Say that this process lives; gives what it learns by the way.

    `asked`: somebody wants one of its jobs to stop, or to know where it is; `leaderless`: nobody reconciles.
    """
    about_one = or_(Job.cancel_requested_at.is_not(None), is_asked)
    asked = exists().where(Job.worker == process, is_running, about_one)
    leaderless = exists().where(Lease.name == "reconciler", Lease.expires_at < now())
    alive = update(Process).where(Process.id == process).values(seen_at=now())
    with standalone() as session:
        if seen := session.execute(alive.returning(asked.label("asked"), leaderless.label("leaderless"))).first():
            return seen
        version, host = settings().service_version, socket.gethostname()
        session.add(Process(id=process, role=role, queue=queue, version=version, host=host, pid=os.getpid()))
        session.commit()
    return pulse(process, role, queue)


def answer(worker: str, where: Callable[[int], str]) -> None:
    """Answer the questions about jobs that this worker runs; `where` tells it of a process.

    Each process is looked at once, and a few with each heartbeat, which waits for it.
    """
    mine = (Job.worker == worker, Job.pid != 0, is_running, Event.job_id == Job.id)
    with standalone() as session:
        asked = session.execute(select(Event.id, Job.pid).where(*mine, *unanswered)).all()
        for pid in sorted({row.pid or 0 for row in asked})[:PROCESSES]:
            said = {"message": values.masked(where(pid)), "at": now()}
            alike = [row.id for row in asked if row.pid == pid]
            session.execute(update(Event).where(Event.id.in_(alike)).values(said))


def farewell(process: str) -> None:
    """Say that this process ends, and let go of what it leads, so that nobody waits for it."""
    with standalone() as session:
        session.execute(delete(Process).where(Process.id == process))
        session.execute(update(Lease).where(Lease.holder == process).values(expires_at=now()))


def forget_dead() -> None:
    """Drop rows of processes that have been silent for an hour."""
    with standalone() as session:
        session.execute(delete(Process).where(Process.seen_at < now(-3600)))


def hold(lease: str, process: str, *findings: ColumnElement[Any]) -> Row[*tuple[Any, ...]] | None:
    """Take or keep a lease, with `findings` made in the same statement; None when another has it."""
    free = or_(Lease.holder == process, Lease.expires_at < now())
    held = update(Lease).where(Lease.name == lease, free).values(holder=process, expires_at=now(settings().sweep_limit))
    with standalone() as session:
        return session.execute(held.returning(Lease.name, *findings)).first()


def lead(process: str) -> Row[*tuple[Any, ...]] | None:
    """Take or keep the reconciler's lease, and look round in the same statement; None when another leads.

    The columns say what wants mending: jobs `lost`, `overdue`, `due` and `expired`, and doorbells `unanswered`.
    """
    alive = select(Process.id).where(Process.seen_at > presumed_dead())
    findings = {
        "lost": (Job.worker, is_running & Job.worker.not_in(alive)),
        "overdue": (Job.deadline, is_running & (Job.deadline < now())),
        "due": (Job.run_at, is_waiting & Job.rung_at.is_(None) & (Job.run_at < now(settings().sweep_seconds))),
        "unanswered": (Job.rung_at, is_ready() & (Job.rung_at < now(-settings().sweep_limit))),
        "expired": (Job.expires_at, is_waiting & (Job.expires_at < now())),
    }
    # The first of them and not EXISTS, for which PostgreSQL would read all that waits, expecting to find one at once.
    first = {label: select(Job.id).where(which).order_by(by).limit(1) for label, (by, which) in findings.items()}
    columns = [query.scalar_subquery().is_not(None).label(label) for label, query in first.items()]
    return hold("reconciler", process, *columns)

"""Who lives: the rows of workers and beats, and the leases that let one of them do what only one may do."""

import os
import socket
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, exists, or_, select, update

from service.config import settings
from service.database import new_id, now, standalone
from service.jobs import questions
from service.jobs.model import Job, Lease, Process, is_free, is_ready, is_running, is_waiting
from service.jobs.query import presumed_dead


def name(role: str, queue: str | None) -> str:
    """An id for this process that no other has or had: `worker-fast@host:pid:…`."""
    return f"{role}{f'-{queue}' if queue else ''}@{socket.gethostname()}:{os.getpid()}:{new_id()[-6:]}"


def pulse(process: str, role: str, queue: str | None) -> Row[bool, bool]:
    """Say that this process lives; gives what it learns by the way.

    `asked`: somebody wants one of its jobs to stop, or to know where it is; `leaderless`: nobody reconciles.
    """
    about_one = or_(Job.cancel_requested_at.is_not(None), questions.is_asked)
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


def farewell(process: str) -> None:
    """Say that this process ends, and let go of what it leads, so that nobody waits for it."""
    with standalone() as session:
        session.execute(delete(Process).where(Process.id == process))
        session.execute(update(Lease).where(Lease.holder == process).values(expires_at=now()))


def forget_dead() -> None:
    """Drop rows of processes that have been silent for an hour."""
    with standalone() as session:
        session.execute(delete(Process).where(Process.seen_at < now(-3600)))


def hold(lease: str, process: str, *findings: ColumnElement[bool]) -> Row[*tuple[Any, ...]] | None:
    """Take or keep a lease, with `findings` made in the same statement; None when another has it."""
    free = or_(Lease.holder == process, Lease.expires_at < now())
    until = now(settings().sweep_limit)
    held = update(Lease).where(Lease.name == lease, free).values(holder=process, expires_at=until)
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
        "unanswered": (Job.rung_at, is_ready() & (Job.rung_at < now(-settings().sweep_limit)) & is_free),
        "expired": (Job.expires_at, is_waiting & (Job.expires_at < now())),
    }
    # The first of them and not EXISTS, for which PostgreSQL would read all that waits, expecting to find one at once.
    first = {label: select(Job.id).where(which).order_by(by).limit(1) for label, (by, which) in findings.items()}
    columns = [query.scalar_subquery().is_not(None).label(label) for label, query in first.items()]
    return hold("reconciler", process, *columns)

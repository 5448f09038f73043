"""The reconciler: one process at a time looks round every few seconds and mends what no message would.

It rings for jobs whose time has come and for doorbells that went unanswered, and queues again what dead workers had.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import structlog
from sqlalchemy import ColumnElement, select, update

from service.config import settings
from service.database import now, standalone
from service.jobs import casualties, processes
from service.jobs.doorbell import Bell
from service.jobs.history import JOBS
from service.jobs.model import Job, PausedQueue, is_next, is_ready, is_waiting
from service.jobs.query import alive, count, queues
from service.observe import metrics
from service.queues import SWEEP_ROWS

log = structlog.get_logger()

# Seconds of a sweep for all ringing: the heartbeat waits for it, and a broker may answer slowly.
RING_SECONDS = 1.0

# What `Bell.publish` takes: the job, its task, its queue, and seconds to wait.
Call = tuple[str, str, str, float]


def sweep(process: str, bell: Bell, *, may_bury: bool) -> bool:
    """Look round once, if this process leads, and mend what is found; gives whether it leads.

    `may_bury` is False while this process cannot tell a dead worker from a store that was away.
    """
    found = processes.lead(process)
    if found is None:
        return False
    if found.lost and may_bury:
        _step("jobs of dead workers queued again", casualties.lost)
    if found.overdue:
        _step("jobs past their deadline queued again", casualties.overdue)
    if found.expired:
        _step("jobs expired", casualties.expire)
    until = time.monotonic() + RING_SECONDS
    for queue in _turns(until) if found.due else ():
        _step("due jobs rung for", partial(_ring_due, bell, queue, until), queue=queue)
    for queue in _turns(until) if found.unanswered else ():
        _step("unanswered doorbells rung again", partial(_ring_unanswered, bell, queue, until), queue=queue)
    _step("gauges", lambda: metrics.look(lambda: (queues(), len(alive("beat")))))
    return True


def _step(what: str, mend: Callable[[], int | None], **fields: str) -> None:
    """One step of a sweep. Where it fails, the others are done, and the store has answered: dead workers are found."""
    try:
        if count := mend():
            log.info(what, count=count, **fields)
    except Exception as error:
        log.warning("a step of the sweep failed", step=what, error=type(error).__name__, **fields)


def _ring_due(bell: Bell, queue: str, until: float) -> int:
    """Ring for what is due before the next sweep, each with the wait that is left."""
    due = (Job.queue == queue) & Job.rung_at.is_(None) & (Job.run_at < now(settings().sweep_seconds))
    return _ring(bell, _oldest(due), until)


def _ring_unanswered(bell: Bell, queue: str, until: float) -> int:
    """Ring again for the oldest, as many as the broker has fewer messages than rows wait: a backlog is not a loss.

    For one in any case: among messages of jobs that are gone, a lost one would not be missed.
    """
    old = is_ready() & is_next & (Job.queue == queue) & (Job.rung_at < now(-settings().sweep_limit))
    if not (calls := _oldest(old)):
        return 0
    with standalone() as session:
        waiting = count(session, old)
    return _ring(bell, calls[: max(1, waiting - bell.depth(queue))], until)


def _oldest(which: ColumnElement[bool]) -> list[Call]:
    """The doorbells of what waits and is not paused, each with the seconds until its time."""
    waits = (is_waiting, which, Job.queue.not_in(select(PausedQueue.name)))
    query = select(Job.id, Job.task, Job.queue, Job.run_at, now()).where(*waits).order_by(Job.run_at).limit(SWEEP_ROWS)
    with standalone() as session:
        found = session.execute(query).all()
    return [(id_, task, queue, max(0.0, (at - present).total_seconds())) for id_, task, queue, at, present in found]


def _turns(until: float) -> Iterator[str]:
    """The queues for which there is time, each sweep in another order."""
    for queue in sorted(settings().queues, key=lambda _: os.urandom(4)):
        if time.monotonic() < until:
            yield queue


def _ring(bell: Bell, calls: Sequence[Call], until: float) -> int:
    """Publish what there is time for, then note it: the other order would lose, and twice is harmless."""
    rung: list[str] = []
    try:
        for call in calls:
            if time.monotonic() > until or not bell.publish(*call):
                break
            rung.append(call[0])
    except Exception as error:
        log.warning("broker unreachable, jobs wait", error=type(error).__name__)
    if rung:
        with standalone() as session:
            # One that was moved meanwhile is rung for on its new queue.
            same = (Job.id.in_(rung), Job.queue == calls[0][2], is_waiting)
            session.execute(update(JOBS).where(*same).values(rung_at=now()))
    return len(rung)

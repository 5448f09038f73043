"""The reconciler: one process at a time looks round every few seconds and mends what no message would.

It rings for jobs whose time has come and for doorbells that went unanswered, and queues again what dead workers had.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Select, func, select, update

from service.config import settings
from service.database import now, standalone
from service.jobs import casualties, processes
from service.jobs.doorbell import Bell
from service.jobs.model import Job, PausedQueue, is_waiting
from service.jobs.query import COUNT_CAP, alive, queues
from service.observe import metrics
from service.queues import SWEEP_ROWS

log = structlog.get_logger()


def sweep(process: str, bell: Bell, *, may_bury: bool) -> bool:
    """Look round once, if this process leads, and mend what is found; gives whether it leads.

    `may_bury` is False while this process cannot tell a dead worker from a store that was away.
    """
    found = processes.lead(process)
    if found is None:
        return False
    if found.lost and may_bury:
        _say("jobs of dead workers queued again", casualties.lost())
    if found.overdue:
        _say("jobs past their deadline queued again", casualties.overdue())
    if found.expired:
        _say("jobs expired", casualties.expire())
    if found.due:
        _ring_due(bell)
    if found.unanswered:
        _ring_unanswered(bell)
    metrics.look(lambda: (queues(), len(alive("beat"))))
    return True


def _ring_due(bell: Bell) -> None:
    """Ring for what is due before the next sweep, each with the wait that is left."""
    for queue in settings().queues:
        due = (Job.queue == queue) & Job.rung_at.is_(None) & (Job.run_at < now(settings().sweep_seconds))
        with standalone() as session:
            query = _waiting(due).order_by(Job.run_at).limit(SWEEP_ROWS)
            rows = session.execute(query.add_columns(Job.run_at, now().label("present"))).all()
        delays = {row.id: max(0.0, (row.run_at - row.present).total_seconds()) for row in rows}
        _say("due jobs rung for", _ring(bell, rows, delays), queue=queue)


def _ring_unanswered(bell: Bell) -> None:
    """Ring again for the oldest, as many as the broker has fewer messages than rows wait: a backlog is not a loss.

    For one in any case: among messages of jobs that are gone, a lost one would not be missed.
    """
    for queue in settings().queues:
        old = (Job.queue == queue) & (Job.rung_at < now(-settings().sweep_limit)) & (Job.run_at < now())
        with standalone() as session:
            rows = session.execute(_waiting(old).order_by(Job.run_at).limit(SWEEP_ROWS)).all()
            waiting = session.scalar(select(func.count()).select_from(_waiting(old).limit(COUNT_CAP).subquery())) or 0
        if not rows:
            continue
        try:
            missing = max(1, waiting - bell.depth(queue))
        except Exception as error:
            log.warning("broker unreachable, its depth is unknown", queue=queue, error=type(error).__name__)
            return
        _say("unanswered doorbells rung again", _ring(bell, rows[:missing], {}), queue=queue)


def _waiting(which: ColumnElement[bool]) -> Select[str, str, str]:
    paused = select(PausedQueue.name)
    return select(Job.id, Job.task, Job.queue).where(is_waiting, which, Job.queue.not_in(paused))


def _ring(bell: Bell, rows: Sequence[Any], delays: Mapping[str, float]) -> int:
    """Publish, then note it: the other order would lose, and twice is harmless."""
    rung: list[str] = []
    for row in rows:
        try:
            if not bell.publish(row.id, row.task, row.queue, delays.get(row.id, 0.0)):
                break
        except Exception as error:
            log.warning("broker unreachable, jobs wait", error=type(error).__name__)
            break
        rung.append(row.id)
    if rung:
        with standalone() as session:
            changed = update(Job).where(Job.id.in_(rung), is_waiting).values(rung_at=now())
            session.execute(changed.execution_options(synchronize_session=False))
    return len(rung)


def _say(what: str, count: int, **fields: str) -> None:
    if count:
        log.info(what, count=count, **fields)

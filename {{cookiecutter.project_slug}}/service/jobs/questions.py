"""Where is it? The question is an event of a running job; its worker puts the answer into it."""

from collections.abc import Callable

from sqlalchemy import exists, literal_column, select, update

from service.database import now, standalone
from service.jobs.model import Event, Job, is_running
from service.observe import values

# Processes that are looked at with one heartbeat, a fifth of a second each.
PROCESSES = 5

unanswered = (Event.event == "stack", Event.message.is_(None))

# Of a job: somebody asked. The column's whole name, since SQLAlchemy leaves out the tables' behind RETURNING.
is_asked = exists().where(Event.job_id == literal_column("jobs.id"), *unanswered)


def answer(worker: str, where: Callable[[int], str]) -> None:
    """Answer the questions about jobs that this worker runs; `where` tells it of a process.

    Each process is looked at once, and a few with each heartbeat, which waits for it.
    """
    mine = (Job.worker == worker, Job.pid > 0, is_running, Event.job_id == Job.id)
    with standalone() as session:
        asked = session.execute(select(Event.id, Job.pid).where(*mine, *unanswered)).all()
        for pid in sorted({row.pid or 0 for row in asked})[:PROCESSES]:
            said = {"message": values.masked(where(pid)), "at": now()}
            alike = [row.id for row in asked if row.pid == pid]
            session.execute(update(Event).where(Event.id.in_(alike)).values(said))

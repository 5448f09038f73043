"""A job's history: one event for each thing that happened to it."""

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from service.jobs.model import Event, Job
from service.observe import outcomes, values

# Lines that a job's tasks log, of which the last are kept: the history is for people.
MAX_LINES = 100


def record(session: Session, row: Job, event: str, message: str | None = None, *, by: str | None = None) -> None:
    """Add an event at the job's present attempt, in the caller's transaction."""
    kept = message and values.masked(message)
    session.execute(insert(Event).values(job_id=row.id, attempt=row.attempt, event=event, message=kept, by=by))
    if event == "log":
        lines = select(Event.id).where(Event.job_id == row.id, Event.event == event).order_by(Event.id.desc())
        session.execute(delete(Event).where(Event.id.in_(lines.offset(MAX_LINES))))
    outcomes.note(session, row, event)

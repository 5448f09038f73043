"""A job's history: one event for each thing that happened to it."""

from sqlalchemy import insert
from sqlalchemy.orm import Session

from service.jobs.model import Event, Job
from service.observe import outcomes

# A logged line longer than this is cut: the history is for people.
MAX_MESSAGE = 2000


def record(session: Session, row: Job, event: str, message: str | None = None, *, by: str | None = None) -> None:
    """Add an event at the job's present attempt, in the caller's transaction."""
    cut = message and message[:MAX_MESSAGE]
    session.execute(insert(Event).values(job_id=row.id, attempt=row.attempt, event=event, message=cut, by=by))
    outcomes.note(session, row, event)

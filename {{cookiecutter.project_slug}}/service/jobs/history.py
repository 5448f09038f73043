"""A job's history: one event for each thing that happened to it."""

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from service.jobs.model import Event, Job
from service.observe import outcomes, values

# The history is for people: of the lines that a job's tasks log the last are kept, and the last events of one that
# somebody sends round again and again.
KEPT = {"log": 100, "retried by hand": 1000, "redelivered by hand": 1000, "delivery failed": 1000}


def record(session: Session, row: Job, event: str, message: str | None = None, *, by: str | None = None) -> None:
    """Add an event at the job's present attempt, in the caller's transaction."""
    kept = message and values.masked(message)
    session.execute(insert(Event).values(job_id=row.id, attempt=row.attempt, event=event, message=kept, by=by))
    if event in KEPT:
        of = (Event.event == event,) if event == "log" else ()
        last = select(Event.id).where(Event.job_id == row.id, *of).order_by(Event.id.desc())
        session.execute(delete(Event).where(Event.id.in_(last.offset(KEPT[event]))))
    outcomes.note(session, row, event)

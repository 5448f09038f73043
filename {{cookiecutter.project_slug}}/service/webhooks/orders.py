"""Ordering deliveries: with the end of a job, in its own transaction, and again by hand."""

import json

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service import view
from service.config import settings
from service.database import now, transaction
from service.errors import TooManyRequests, WrongState
from service.jobs import Job, submit
from service.jobs.history import record
from service.jobs.model import ENDED, Event
from service.jobs.query import demand_room, find
from service.queues import WEBHOOK_CLIENT
from service.webhooks.model import Message

# A job of the service's own: it is in no client's list, and each delivery is in the history of the job it tells of.
TASK = "webhooks.deliver"

# What a job's history calls it when somebody asked for another delivery, and the seconds between two such.
AGAIN = "redelivered by hand"
REDELIVER_SECONDS = 10

# Messages that are kept of a job that ends over and over, since somebody sends it round.
MAX_MESSAGES = 100


def on_end(session: Session, row: Job) -> None:
    """Keep the job as it ended and order its delivery, where it has a callback_url."""
    if row.callback_url is not None:
        message = Message(job_id=row.id, body=json.dumps(view.job(row), separators=(",", ":")))
        session.add(message)
        session.flush()
        last = select(Message.id).where(Message.job_id == row.id).order_by(Message.id.desc())
        session.execute(delete(Message).where(Message.id.in_(last.offset(MAX_MESSAGES))))
        submit(TASK, {"message": message.id}, client=WEBHOOK_CLIENT.format(row.client), session=session)


def redeliver(job_id: str, *, by: str, client: str | None) -> Job:
    """Deliver the job's last message again, under the id that it had: a receiver that has it already can tell.

    Raises:
        JobNotFound: there is none, or it is another client's.
        WrongState: the job has not ended, or has no callback_url.
        TooManyRequests: it was redelivered a moment ago, or too much of the client's waits already.
    """
    with transaction() as session:
        row = find(session, job_id, client, lock=True)
        if row.callback_url is None:
            raise WrongState("expected a job to redeliver to have a callback_url, got: none")
        if row.state not in ENDED:
            states = ", ".join(sorted(state.value for state in ENDED))
            raise WrongState(f"expected a job to redeliver to be one of {states}, got: {row.state.value}")
        again = (Event.job_id == row.id, Event.event == AGAIN, Event.at > now(-REDELIVER_SECONDS))
        if session.scalars(select(Event.id).where(*again).limit(1)).first() is not None:
            said = f"expected a job to be redelivered once in {REDELIVER_SECONDS} s, got: again; see its events"
            raise TooManyRequests(said, retry_after=REDELIVER_SECONDS)
        if client is not None:
            demand_room(session, row.client, row.callback_url, settings().max_waiting_jobs)
        last = select(Message.id).where(Message.job_id == row.id).order_by(Message.id.desc()).limit(1)
        message = {"message": session.scalars(last).one()}
        submit(TASK, message, client=WEBHOOK_CLIENT.format(row.client), session=session)
        record(session, row, AGAIN, by=by)
    return row

"""How a job ends: its state, its history and what follows from it are one transaction, whichever way it ends."""

import pkgutil
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from service.database import now
from service.errors import AttemptLost
from service.jobs.history import record
from service.jobs.model import Job, State

# What is told of each end before it is committed; named and not imported, since it lies above this layer.
ON_END = "service.webhooks.orders:on_end"

# What a job that does not run has none of.
IDLE: dict[str, Any] = {"worker": None, "pid": None, "deadline": None}


def end(
    session: Session,
    row: Job,
    state: State,
    message: str | None = None,
    *,
    event: str | None = None,
    by: str | None = None,
    **values: Any,
) -> None:
    """End the job in the caller's transaction; `event` is the state's name unless said otherwise.

    Raises:
        AttemptLost: the job is no longer as `row` has it; the transaction must not commit.
    """
    same = (Job.id == row.id, Job.attempt == row.attempt, Job.state == row.state)
    change = update(Job).where(*same).values(state=state, ended_at=now(), waiting_for=None, **IDLE, **values)
    ended = session.scalar(change.returning(Job).execution_options(populate_existing=True))
    if ended is None:
        raise AttemptLost
    record(session, ended, event or state.value, message, by=by)
    pkgutil.resolve_name(ON_END)(session, ended)

"""How a job ends: its state, its history and what follows from it are one transaction, whichever way it ends."""

import functools
import pkgutil
from typing import Any

from sqlalchemy import Update, update
from sqlalchemy.orm import Session

from service.database import now
from service.errors import AttemptLost
from service.jobs.history import JOBS, change, given
from service.jobs.model import Job, State

# What is told of an end before it is committed, by what a job must have for it: of any other the end is all that there
# is. Named and not imported, since it lies above this layer, or may be deleted.
FOLLOWED = {
    "callback_url": "service.webhooks.orders:on_end",
    "batch_id": "service.jobs.shapes.batches:on_end",
    "steps": "service.jobs.shapes.pipelines:on_end",
    "lock_key": "service.jobs.doorbell:ring_next",
}

Said = str | None

# What a job has none of that did not fail, and what one has none of that does not run.
NO_ERROR: dict[str, Any] = {"error_type": None, "error_message": None, "traceback": None}
IDLE: dict[str, Any] = {"worker": None, "pid": None, "deadline": None, "carried_by": None}


def end(
    session: Session, row: Job, state: State, message: Said = None, *, event: Said = None, by: Said = None, **more: Any
) -> None:
    """End the job in the caller's transaction; `event` is the state's name unless said otherwise.

    Raises:
        AttemptLost: the job is no longer as `row` has it; the transaction must not commit.
    """
    fills = {"id": row.id, "attempt": row.attempt, **more}
    ended = change(session, _end(row.state, state, *more), fills, event or state.value, message=message, by=by)
    if ended is None:
        raise AttemptLost
    for name in followed(ended):
        pkgutil.resolve_name(FOLLOWED[name])(session, ended)


def followed(row: Job) -> list[str]:
    """For what something follows the job's end, which takes a transaction of more than one statement."""
    return [name for name in FOLLOWED if getattr(row, name) is not None]


@functools.cache
def _end(before: State, state: State, *names: str) -> Update:
    same = (JOBS.c.id == given("id"), JOBS.c.attempt == given("attempt"), JOBS.c.state == before)
    fixed = {"state": state, "ended_at": now(), "waiting_for": None, **IDLE}
    return update(JOBS).where(*same).values(fixed | {name: given(name) for name in names})

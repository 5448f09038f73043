"""A job's history: one event for each thing that happened to it."""

import functools
from typing import Any

from sqlalchemy import JSON, BindParameter, Executable, Text, UpdateBase, bindparam, delete, func, insert, select
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from service.jobs.model import Event, Job
from service.observe import outcomes, values
from service.rows import loaded

# For statements that are run with each job: what the mapper adds to them costs more than they do.
JOBS = Job.metadata.tables[Job.__tablename__]

# The history is for people: of the lines that a job's tasks log the last are kept, and the last events of one that
# somebody sends round again and again.
KEPT = {"log": 100, "stack": 10, "retried by hand": 1000, "redelivered by hand": 1000, "delivery failed": 1000}

# Of the table and not of the class, which takes the path of bulk inserts.
INSERT = insert(Event.__table__)  # type: ignore[arg-type]


def record(session: Session, row: Job, event: str, message: str | None = None, *, by: str | None = None) -> None:
    """Add an event at the job's present attempt, in the caller's transaction."""
    about = {"event": event, "message": message and values.masked(message), "by": by}
    session.execute(INSERT, {"job_id": row.id, "attempt": row.attempt, **about})
    if event in KEPT:
        of = (Event.event == event,) if event in {"log", "stack"} else ()
        last = select(Event.id).where(Event.job_id == row.id, *of).order_by(Event.id.desc())
        session.execute(delete(Event).where(Event.id.in_(last.offset(KEPT[event]))))
    outcomes.note(session, row, event)


def change(session: Session, how: UpdateBase, fills: dict[str, Any], event: str, **about: str | None) -> Job | None:
    """Make or change one job and add the event, on PostgreSQL in one statement; gives the job as it is then, if any.

    `how` has `given` in place of the values, and is made once: to take it apart costs more than to run it.
    """
    session.flush()
    together = session.get_bind().dialect.name == "postgresql"
    if together:
        fills = fills | about | {"event": event, "message": (said := about.get("message")) and values.masked(said)}
    found = session.execute(_returning(how, together), {f"given_{name}": fills[name] for name in fills}).first()
    if found is None:
        return None
    row = loaded(Job, found[0] if together else found._mapping)
    if together:
        outcomes.note(session, row, event)
    else:
        record(session, row, event, **about)
    return row


def given(name: str, type_: TypeEngine[Any] | None = None) -> BindParameter[Any]:
    """The place of a value in a statement for `change`; of a column's type unless it is said."""
    return bindparam(f"given_{name}", type_=type_ or JOBS.c[name].type)


@functools.cache
def _returning(statement: UpdateBase, together: bool) -> Executable:
    changes = statement.returning(*JOBS.c)
    if not together:
        return changes
    changed = changes.cte("changed")
    said = select(changed.c.id, changed.c.attempt, *(given(name, Text()) for name in ("event", "message", "by")))
    event = insert(Event).from_select(["job_id", "attempt", "event", "message", "by"], said).cte("said")
    # As one value: thirty-seven take longer to take apart than the statement takes.
    return select(func.row_to_json(changed.table_valued(), type_=JSON)).add_cte(event)

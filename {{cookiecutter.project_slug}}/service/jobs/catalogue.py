"""The catalogue: which tasks exist and how to call them, written by workers and read by whoever submits."""

import difflib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from sqlalchemy import select

from service.config import settings
from service.database import now, standalone, transaction
from service.errors import InvalidArguments, UnknownTask
from service.jobs.model import Task

# Seconds that a reader trusts what it read; a name it does not know is looked up at once, but once a second at most.
TRUST_SECONDS = 60.0
MISS_SECONDS = 1.0

_known: dict[str, Task] = {}
_read_at = float("-inf")


def announce(entries: Iterable[Task]) -> None:
    """Write what this version can do; tasks of other versions stay, since their workers may still run."""
    with transaction() as session:
        for entry in entries:
            entry.version, entry.announced_at = settings().service_version, now()
            session.merge(entry)


def look_up(name: str) -> Task:
    """The task called `name`.

    Raises:
        UnknownTask: naming the nearest that exist.
    """
    age = time.monotonic() - _read_at
    if age > TRUST_SECONDS or (name not in _known and age > MISS_SECONDS):
        entries()
    if name not in _known:
        near = difflib.get_close_matches(name, _known) or sorted(_known)
        remedy = f"did you mean {' or '.join(near[:3])}?" if near else "run `python -m service migrate`"
        raise UnknownTask(f"expected task to be one that a worker announced, got: {name}; {remedy}", field="task")
    return _known[name]


def entries() -> Sequence[Task]:
    """Every task there is, read afresh."""
    global _known, _read_at
    with standalone() as session:
        rows = session.scalars(select(Task).order_by(Task.name)).all()
    _known, _read_at = {row.name: row for row in rows}, time.monotonic()
    return rows


def validate(entry: Task, kwargs: Mapping[str, Any]) -> None:
    """Hold arguments against the task's schema.

    Raises:
        InvalidArguments: naming the argument.
    """
    try:
        # A registry of nothing: by itself the library fetches what a schema refers to, from any address or file.
        error = next(Draft202012Validator(entry.schema, registry=Registry()).iter_errors(kwargs), None)
    except Unresolvable:
        remedy = "run `python -m service migrate`, which writes them afresh"
        message = f"expected the schema of {entry.name} to be whole, got: one that refers to another; {remedy}"
        raise InvalidArguments(message) from None
    if error is not None:
        path = ".".join(str(part) for part in error.absolute_path)
        message = error.message if len(error.message) < 200 else f"expected it to satisfy {error.validator}"
        raise InvalidArguments(f"{entry.name}: {path + ': ' if path else ''}{message}", field=path or None)

"""Accepting work: a job is a row, and accepted once that row is committed."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Text, case, insert, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.database import Timestamp, new_id, now, transaction
from service.errors import IdempotencyConflict, InvalidArguments, StoreUnavailable
from service.jobs import catalogue, doorbell, query
from service.jobs.history import JOBS, change, given
from service.jobs.model import Job
from service.observe.context import current_context
from service.queues import MAX_ARGUMENTS, MAX_KEY

INTERNAL = "internal"

# What is given of a job, or is none; the other columns have a default that the store can be told.
NONE: dict[str, Any] = dict.fromkeys(c.name for c in JOBS.c if c.default is None or c.default.is_callable)
BEGINS: dict[str, Any] = {c.name: cast(Any, c.default).arg for c in JOBS.c if c.name not in NONE}

# By the store's clock; without `at` the comparison comes to nothing. Made once: it was most of the work for each job.
_later = (_at := given("at", Timestamp())) > now()
_times = {"run_at": case((_later, _at), else_=now()), "rung_at": case((_later, None), else_=now())}
INSERT = insert(JOBS).values(BEGINS | {n: given(n) for n in NONE} | _times | {"waiting_for": case((_later, "time"))})


def submit(
    name: str,
    kwargs: Mapping[str, Any],
    *,
    client: str = INTERNAL,
    idempotency_key: str | None = None,
    callback_url: str | None = None,
    run_at: datetime | None = None,
    expires_at: datetime | None = None,
    may_wait: int | None = None,
    unique_key: str | None = None,
    lock_key: str | None = None,
    session: Session | None = None,
) -> Job:
    """Make a durable job of the task `name`.

    With `session` the job is committed with the caller's own rows, or not at all; its doorbell rings after that.
    `callback_url` is told how it ended; whoever takes one from outside checks it first (`outbound/guard.py`).
    The same `idempotency_key` of the same client gives the job that it gave the first time.
    While a job of the client with the same `unique_key` waits or runs, that one is given, whatever its arguments.
    The `idempotency_key` of a request that was given such a job is not kept: once that has ended, a repeat makes one.
    Of all jobs with the same `lock_key` one runs at a time, the others wait for it in the order of their submission.
    `may_wait` is how many jobs the client may have waiting, of which this would be one more.

    Raises:
        UnknownTask: no worker announced it.
        InvalidArguments: not JSON, larger than 64 KiB, not what the task takes, or a key that is none.
        IdempotencyConflict: the key was used before, for another request.
        TooManyWaiting: so many wait already.
    """
    arguments = encode(kwargs)
    entry = catalogue.look_up(name)
    catalogue.validate(entry, kwargs)
    request = json.dumps([name, arguments, str(run_at), callback_url]).encode()
    row: dict[str, Any] = {"task": name, "queue": entry.queue, "kwargs": dict(kwargs), "client": client}
    row |= {"idempotency_key": idempotency_key, "callback_url": callback_url, "expires_at": expires_at, "at": run_at}
    row |= {"context": current_context(), "fingerprint": hashlib.sha256(request).hexdigest()}
    row |= _checked(unique_key=unique_key, lock_key=lock_key)
    with transaction(single=idempotency_key is unique_key is None) if session is None else nullcontext(session) as mine:
        return accept(mine, row, may_wait)


def encode(value: Any, most: int = MAX_ARGUMENTS, error: type[Exception] = InvalidArguments) -> str:
    """The value as JSON, arguments as canonical JSON.

    Raises:
        Exception: `error`, since it is not JSON, or larger than `most` bytes.
    """
    try:
        # Keys of several types cannot be sorted.
        text = json.dumps(value, sort_keys=error is InvalidArguments, allow_nan=False)
    except (TypeError, ValueError) as fault:
        raise error(f"expected JSON, got: {fault}; use keys and plain values, and load objects in the task") from fault
    if (size := len(text.encode())) > most:
        raise error(f"expected JSON of at most {most} bytes, got: {size}; store it and use a key")
    return text


def _checked(**keys: str | None) -> dict[str, str | None]:
    for name, key in keys.items():
        if key is not None and not (isinstance(key, str) and 0 < len(key) <= MAX_KEY and key.isprintable()):
            got = f"{len(key)} characters" if isinstance(key, str) else type(key).__name__
            raise InvalidArguments(f"expected {name} to be 1 to {MAX_KEY} printable characters, got: {got}", field=name)
    return keys


def accept(session: Session, row: dict[str, Any], may_wait: int | None = None) -> Job:
    """Make the job with these columns, or give the one that has its keys; nothing of it is checked any more.

    Raises:
        IdempotencyConflict, TooManyWaiting: as for `submit`.
    """
    row = NONE | {"id": new_id(), "at": None} | row
    key = row["idempotency_key"]
    if key is row["unique_key"] is None:
        return _add(session, row, may_wait)
    # Literals, since `== None` would be IS NULL.
    repeated = Job.idempotency_key == literal(key, Text())
    unended = (Job.unique_key == literal(row["unique_key"], Text())) & Job.ended_at.is_(None)
    # The key's own job before one that has the unique key.
    found = select(Job).where(Job.client == row["client"], repeated | unended).order_by(case((repeated, 0), else_=1))
    # Again where another with one of the keys was faster by a moment; and again where that one has ended since.
    for _ in range(3):
        if earlier := session.scalars(found).first():
            if earlier.idempotency_key == key is not None and earlier.fingerprint != row["fingerprint"]:
                raise IdempotencyConflict(field="Idempotency-Key")
            return earlier
        with suppress(IntegrityError), session.begin_nested():
            return _add(session, row, may_wait)
    raise StoreUnavailable


def _add(session: Session, row: dict[str, Any], may_wait: int | None) -> Job:
    if may_wait is not None:
        query.demand_room(session, row["client"], row["callback_url"], may_wait)
    # What is inserted is given, whole.
    made = cast(Job, change(session, INSERT, row, "accepted", by=row["client"]))
    # Without rung_at its time has not come, and the reconciler will ring.
    if made.rung_at is not None:
        doorbell.ring(session, made)
    return made

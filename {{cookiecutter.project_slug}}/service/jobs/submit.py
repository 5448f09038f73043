"""Accepting work: a job is a row, and accepted once that row is committed."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.database import Timestamp, now, transaction
from service.errors import IdempotencyConflict, InvalidArguments
from service.jobs import catalogue, doorbell, query
from service.jobs.history import JOBS, record
from service.jobs.model import Job
from service.observe.context import current_context
from service.queues import MAX_ARGUMENTS

INTERNAL = "internal"

# By the store's clock; without `at` the comparison comes to nothing. Made once: it was most of the work for each job.
_at = bindparam("at", type_=Timestamp())
_later = _at > now()
_times = {"run_at": case((_later, _at), else_=now()), "rung_at": case((_later, None), else_=now())}
INSERT = insert(JOBS).values(waiting_for=case((_later, "time")), **_times).returning(*JOBS.c)


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
    session: Session | None = None,
) -> Job:
    """Make a durable job of the task `name`.

    With `session` the job is committed with the caller's own rows, or not at all; its doorbell rings after that.
    `callback_url` is told how it ended; whoever takes one from outside checks it first (`outbound/guard.py`).
    The same `idempotency_key` of the same client gives the job that it gave the first time.
    `may_wait` is how many jobs the client may have waiting, of which this would be one more.

    Raises:
        UnknownTask: no worker announced it.
        InvalidArguments: not JSON, larger than 64 KiB, or not what the task takes.
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
    with transaction() if session is None else nullcontext(session) as whose:
        return _insert(whose, row, may_wait)


def encode(kwargs: Mapping[str, Any]) -> str:
    """The arguments as canonical JSON.

    Raises:
        InvalidArguments: they are not JSON, or too large.
    """
    try:
        text = json.dumps(kwargs, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        remedy = "pass keys and plain values, and load objects in the task"
        raise InvalidArguments(f"expected arguments to be JSON, got: {error}; {remedy}") from error
    if (size := len(text.encode())) > MAX_ARGUMENTS:
        expected = f"expected arguments of at most {MAX_ARGUMENTS} bytes"
        raise InvalidArguments(f"{expected}, got: {size}; store them and pass a key")
    return text


def _insert(session: Session, row: dict[str, Any], may_wait: int | None) -> Job:
    if row["idempotency_key"] is None:
        return _accept(session, row, may_wait)
    same = select(Job).where(Job.client == row["client"], Job.idempotency_key == row["idempotency_key"])
    earlier = session.scalar(same)
    if earlier is None:
        try:
            with session.begin_nested():
                return _accept(session, row, may_wait)
        except IntegrityError:
            # Another request with this key was faster by a moment.
            earlier = session.scalars(same).one()
    if earlier.fingerprint != row["fingerprint"]:
        raise IdempotencyConflict(field="Idempotency-Key")
    return earlier


def _accept(session: Session, row: dict[str, Any], may_wait: int | None) -> Job:
    if may_wait is not None:
        query.demand_room(session, row["client"], row["callback_url"], may_wait)
    made = Job(**session.execute(INSERT, row).mappings().one())
    record(session, made, "accepted", by=made.client)
    # Without rung_at its time has not come, and the reconciler will ring.
    if made.rung_at is not None:
        doorbell.ring(session, made)
    return made

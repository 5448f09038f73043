"""Accepting work: a job is a row, and accepted once that row is committed."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.database import now, transaction
from service.errors import IdempotencyConflict, InvalidArguments
from service.jobs import catalogue, doorbell
from service.jobs.history import record
from service.jobs.model import Job, State
from service.observe.context import current_context
from service.queues import MAX_ARGUMENTS

INTERNAL = "internal"


def submit(
    name: str,
    kwargs: Mapping[str, Any],
    *,
    client: str = INTERNAL,
    idempotency_key: str | None = None,
    run_at: datetime | None = None,
    expires_at: datetime | None = None,
    session: Session | None = None,
) -> Job:
    """Make a durable job of the task `name`.

    With `session` the job is committed with the caller's own rows, or not at all; its doorbell rings after that.
    The same `idempotency_key` of the same client gives the job that it gave the first time.

    Raises:
        UnknownTask: no worker announced it.
        InvalidArguments: not JSON, larger than 64 KiB, or not what the task takes.
        IdempotencyConflict: the key was used before, for another request.
    """
    arguments = encode(kwargs)
    entry = catalogue.look_up(name)
    catalogue.validate(entry, kwargs)
    later = run_at is not None and run_at > datetime.now(UTC)
    request = json.dumps([name, arguments, str(run_at)])
    row = Job(
        task=name,
        queue=entry.queue,
        kwargs=dict(kwargs),
        client=client,
        idempotency_key=idempotency_key,
        fingerprint=hashlib.sha256(request.encode()).hexdigest(),
        context=current_context(),
        run_at=run_at if later else now(),
        rung_at=None if later else now(),
        waiting_for="time" if later else None,
        expires_at=expires_at,
    )
    if session is not None:
        accepted = _insert(session, row)
        event.listen(session, "after_commit", lambda _: _ring(accepted), once=True)
        return accepted
    with transaction() as own:
        accepted = _insert(own, row)
    _ring(accepted)
    return accepted


def encode(kwargs: Mapping[str, Any]) -> str:
    """The arguments as canonical JSON.

    Raises:
        InvalidArguments: they are not JSON, or too large.
    """
    try:
        text = json.dumps(kwargs, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArguments(
            f"expected arguments to be JSON, got: {error}; pass keys and plain values, and load objects in the task"
        ) from error
    if len(text.encode()) > MAX_ARGUMENTS:
        raise InvalidArguments(
            f"expected arguments of at most {MAX_ARGUMENTS} bytes, got: {len(text.encode())}; store them and pass a key"
        )
    return text


def _ring(accepted: Job) -> None:
    # Without rung_at its time has not come, and the reconciler will ring.
    if accepted.rung_at is not None and accepted.state is State.QUEUED:
        doorbell.ring(accepted)


def _insert(session: Session, row: Job) -> Job:
    if row.idempotency_key is None:
        return _accept(session, row)
    same = select(Job).where(Job.client == row.client, Job.idempotency_key == row.idempotency_key)
    earlier = session.scalar(same)
    if earlier is None:
        try:
            with session.begin_nested():
                return _accept(session, row)
        except IntegrityError:
            # Another request with this key was faster by a moment.
            earlier = session.scalars(same).one()
    if earlier.fingerprint != row.fingerprint:
        raise IdempotencyConflict(field="Idempotency-Key")
    return earlier


def _accept(session: Session, row: Job) -> Job:
    session.add(row)
    session.flush()
    record(session, row, "accepted", by=row.client)
    session.refresh(row)
    return row

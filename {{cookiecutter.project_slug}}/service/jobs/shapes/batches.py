"""Batches: many jobs submitted as one, and one that follows when all of them have ended.

Nothing is counted, so that nothing can be miscounted: a batch has ended when none of its jobs is open. The job that
follows is there from the beginning and waits in its row; its id is the batch's.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

from sqlalchemy import JSON, cast, column, func, insert, literal, null, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.database import new_id, now, standalone, transaction
from service.errors import IdempotencyConflict, InvalidArguments, JobNotFound, ServiceError, WrongState
from service.jobs import catalogue, doorbell, operate, query
from service.jobs import submit as submit_one
from service.jobs.history import INSERT, JOBS, record
from service.jobs.model import ENDED, Event, Job, State, Task, is_waiting
from service.jobs.submit import INTERNAL, encode
from service.observe import outcomes
from service.observe.context import current_context
from service.queues import MAX_BATCH, SWEEP_ROWS

# When a job runs that waits for others: never, unless the last of them says otherwise.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)

Fields = dict[str, Any]
Then = tuple[str, Mapping[str, Any]] | None

# The id before all others.
NIL = "00000000-0000-0000-0000-000000000000"


class BatchNotFound(ServiceError, status=404, title="Batch not found"):
    """No batch of yours has this id, or all of its jobs were purged."""


class Batch(NamedTuple):
    """How a batch stands: its jobs, how many are in each state, and the state of the one that follows, if one does."""

    id: str
    jobs: int
    states: dict[str, int]
    ended: bool
    follower: State | None


def submit(
    task: str,
    items: Sequence[Mapping[str, Any]],
    *,
    then: Then = None,
    client: str = INTERNAL,
    idempotency_key: str | None = None,
    may_wait: int | None = None,
    session: Session | None = None,
) -> str:
    """Make one job of `task` for each item, all of them or none; gives the batch's id.

    `then` is a task and its arguments: it runs once when all have ended, however they did, and its own job's id is the
    batch's, so that `results(self.job.id)` is what it reduces. The other options are those of `service.jobs.submit`.

    Raises:
        InvalidArguments: fewer than 1 or more than 100,000 items, or one that the task does not take; it is named.
        UnknownTask, IdempotencyConflict: as for one job.
        TooManyWaiting: with these, more than `may_wait` would wait.
    """
    if not 1 <= len(items) <= MAX_BATCH:
        raise InvalidArguments(f"expected a batch of 1 to {MAX_BATCH:,} jobs, got: {len(items)}", field="items")
    entry = catalogue.look_up(task)
    texts = [_checked(entry, *item) for item in enumerate(items)]
    request = json.dumps([task, texts, then and [then[0], encode(then[1])]]).encode()
    common = {"task": task, "queue": entry.queue, "client": client, "context": current_context()}
    common["fingerprint"] = hashlib.sha256(request).hexdigest()
    same = select(Job).where(Job.client == client, Job.idempotency_key == idempotency_key)
    with transaction() if session is None else nullcontext(session) as whose:
        earlier = whose.scalar(same) if idempotency_key is not None else None
        if earlier is None:
            try:
                with whose.begin_nested():
                    if may_wait is not None:
                        query.demand_room(whose, client, None, may_wait, len(items) + bool(then))
                    return _accept(whose, common, texts, then, idempotency_key)
            except IntegrityError:
                # Another request with this key was faster by a moment.
                earlier = whose.scalars(same).one()
        if earlier.batch_id is None or earlier.fingerprint != common["fingerprint"]:
            raise IdempotencyConflict(field="Idempotency-Key")
        return earlier.batch_id


def get(batch_id: str, client: str | None = None) -> Batch:
    """How the batch stands; `client` None sees everyone's.

    Raises:
        BatchNotFound: also when the batch is another client's.
    """
    counts = select(Job.client, Job.state, func.count()).where(Job.batch_id == batch_id).group_by(Job.client, Job.state)
    with standalone() as session:
        found = session.execute(counts).all()
        follower = session.scalar(select(Job.state).where(Job.id == batch_id))
    if not found or client not in {None, found[0].client}:
        raise BatchNotFound
    states = {state.value: 0 for state in State} | {state.value: number for _, state, number in found}
    total, ended = sum(states.values()), sum(states[state] for state in ENDED)
    return Batch(batch_id, total, states, ended == total, follower)


def results(batch_id: str) -> Iterator[Job]:
    """The batch's jobs in the order of its items, each with its `state`, `result` and `error_type`."""
    page = select(Job).where(Job.batch_id == batch_id).order_by(Job.id).limit(SWEEP_ROWS)
    after = NIL
    while after:
        with standalone() as session:
            rows = session.scalars(page.where(Job.id > after)).all()
        yield from rows
        after = rows[-1].id if rows else ""


def cancel(batch_id: str, *, by: str, client: str | None) -> Batch:
    """Cancel what waits at once, also the job that follows; ask what runs to stop.

    Raises:
        BatchNotFound: there is none, or it is another client's.
        WrongState: all of it has ended.
    """
    found = get(batch_id, client)
    if found.ended and found.follower in {None, *ENDED}:
        raise WrongState(f"expected a batch to cancel to have jobs that have not ended, got: {found.jobs} that have")
    # First, and in a transaction of its own: whoever ends a job of the batch holds that one and wants this.
    _cancel_one(found.id, by)
    while _cancel_some(found.id, by):
        pass
    with standalone() as session:
        left = session.scalars(select(Job.id).where(Job.batch_id == found.id, Job.ended_at.is_(None))).all()
    for job_id in left:
        _cancel_one(job_id, by)
    return get(found.id, client)


def on_end(session: Session, row: Job) -> None:
    """Let the job that follows run, if this was the last of its batch to end (`ending.FOLLOWED`).

    An open sibling that nobody has locked is held until this transaction ends: it can only end later, will see that
    this one has, and look for itself. Where there is none, others may be ending at this moment: they take turns.
    """
    other = select(Job.id).where(Job.batch_id == row.batch_id, Job.ended_at.is_(None)).order_by(Job.id.desc()).limit(1)
    if session.scalar(other.with_for_update(skip_locked=True, key_share=True)) is not None:
        return
    waits = select(Job).where(Job.id == row.batch_id, Job.waiting_for == "batch")
    follower = session.scalar(waits.with_for_update(key_share=True))
    if follower is not None and session.scalar(other) is None:
        # Rung for here and once more by the reconciler, in case that this process does not live to do it.
        follower.run_at, follower.rung_at, follower.waiting_for = now(), None, None
        record(session, follower, "batch ended")
        doorbell.ring(session, follower)


def _cancel_one(job_id: str, by: str) -> None:
    # One that has ended meanwhile, or a batch that nothing follows.
    with suppress(JobNotFound, WrongState):
        operate.cancel(job_id, by=by, client=None)


def _cancel_some(batch_id: str, by: str) -> bool:
    """End some that wait and that nobody holds; gives whether there were any. Nothing follows them any more."""
    some = select(JOBS.c.id).where(JOBS.c.batch_id == batch_id, is_waiting).limit(SWEEP_ROWS)
    some = some.with_for_update(skip_locked=True, key_share=True)
    ended = {"state": State.CANCELLED, "ended_at": now(), "waiting_for": None}
    with transaction() as session:
        rows = session.execute(update(JOBS).where(JOBS.c.id.in_(some)).values(ended).returning(*JOBS.c)).all()
        said = [{"job_id": row.id, "attempt": row.attempt, "event": "cancelled", "by": by} for row in rows]
        if said:
            session.execute(INSERT, said)
        for row in rows:
            outcomes.note(session, row, "cancelled")
    return bool(rows)


def _checked(entry: Task, index: int, item: Mapping[str, Any]) -> str:
    try:
        catalogue.validate(entry, item)
        return encode(item)
    except InvalidArguments as error:
        raise InvalidArguments(f"item {index}: {error.detail}", field=f"items.{index}") from None


def _accept(session: Session, common: Fields, texts: Sequence[str], then: Then, key: str | None) -> str:
    batch_id = new_id()
    if then is not None:
        batch_id = submit_one(*then, client=common["client"], run_at=NEVER, session=session).id
        session.execute(update(JOBS).where(JOBS.c.id == batch_id).values(waiting_for="batch"))
    common = common | {"batch_id": batch_id}
    # In the order of the items, also within a millisecond.
    ids = sorted(new_id() for _ in texts)
    each: list[list[str | None]] = [[id_.replace("-", ""), text, None] for id_, text in zip(ids, texts, strict=True)]
    each[0][2] = key
    # A doorbell beyond the backlog would be dropped: there the reconciler rings.
    for start in range(0, len(each), SWEEP_ROWS):
        _insert(session, each[start : start + SWEEP_ROWS], common, rung=start < doorbell.BACKLOG)
    mine = select(JOBS.c.id, literal(0), literal("accepted"), JOBS.c.client).where(JOBS.c.batch_id == batch_id)
    session.execute(insert(Event).from_select(["job_id", "attempt", "event", "by"], mine))
    for number, id_ in enumerate(ids):
        row = SimpleNamespace(id=id_, idempotency_key=None, **common)
        outcomes.note(session, row, "accepted")
        if number < doorbell.BACKLOG:
            doorbell.ring(session, row)
    return batch_id


def _insert(session: Session, items: Sequence[list[str | None]], fixed: Fields, *, rung: bool) -> None:
    # One document of ids, arguments and keys: as parameters of their own they would cost more than all else.
    document = literal(json.dumps(items))
    unfold = {"postgresql": func.json_array_elements(cast(document, JSON)), "sqlite": func.json_each(document)}
    item = unfold[session.get_bind().dialect.name].table_valued(column("value", JSON)).c.value
    values: Fields = {name: literal(value, JOBS.c[name].type) for name, value in fixed.items()}
    values |= {"id": cast(item[0].as_string(), JOBS.c.id.type), "kwargs": func.json(item[1].as_string())}
    values |= {"idempotency_key": item[2].as_string(), "run_at": now(), "rung_at": now() if rung else null()}
    session.execute(insert(JOBS).from_select(list(values), select(*values.values())))

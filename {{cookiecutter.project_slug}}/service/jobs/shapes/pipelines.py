"""Pipelines: jobs that follow each other, each on a queue of its own kind, and each once the one before has succeeded.

Only the step whose turn it is is a job. It carries what all of them are, with the ids that their jobs will have, and
the next one is inserted in the transaction in which it succeeds: whatever else becomes of it, nothing has to be undone.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import takewhile
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.database import new_id, standalone, transaction
from service.errors import InvalidArguments, ServiceError, UnknownTask, WrongState
from service.jobs import catalogue, operate
from service.jobs.ending import end
from service.jobs.model import ENDED, Job, State
from service.jobs.query import find
from service.jobs.submit import INTERNAL, accept, encode
from service.observe.context import current_context
from service.queues import MAX_STEPS

Fields = dict[str, Any]


class PipelineNotFound(ServiceError, status=404, title="Pipeline not found"):
    """No pipeline of yours has this id, or its first job was purged; the id of any later one finds it, too."""


class Step(NamedTuple):
    """A step; without a state its turn has not come, and no job has its id yet."""

    id: str
    task: str
    queue: str
    state: State | None
    attempt: int
    error: str | None


class Pipeline(NamedTuple):
    """How a pipeline stands: where the last of its steps does whose turn came."""

    id: str
    client: str
    state: State
    ended: bool
    steps: list[Step]

    def shown(self) -> Fields:
        """As it is told in JSON."""
        return self._asdict() | {"steps": [step._asdict() for step in self.steps]}


def submit(
    steps: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    client: str = INTERNAL,
    idempotency_key: str | None = None,
    may_wait: int | None = None,
    session: Session | None = None,
) -> str:
    """Make the first of these steps a job, and each other one when the one before it succeeds; gives the pipeline's id.

    A step is a task and its arguments; `before(self.job.id)` gives it what the one before returned. The pipeline's id
    is that of its first job. The other options are those of `service.jobs.submit`.

    Raises:
        InvalidArguments: fewer than 1 or more than 20 steps, together more than 64 KiB of arguments, or a step that its
            task does not take; it is named.
        UnknownTask: as for one job; the step is named.
        IdempotencyConflict, TooManyWaiting: as for one job.
    """
    if not 1 <= len(steps) <= MAX_STEPS:
        raise InvalidArguments(f"expected a pipeline of 1 to {MAX_STEPS} steps, got: {len(steps)}", field="steps")
    made = [_checked(number, *step) for number, step in enumerate(steps)]
    request = json.dumps(["pipeline", encode([[step["task"], step["kwargs"]] for step in made])]).encode()
    # In the order of the steps, also within a millisecond.
    whole = [step | {"id": id_} for step, id_ in zip(made, sorted(new_id() for _ in made), strict=True)]
    row = whole[0] | {"steps": whole, "client": client, "idempotency_key": idempotency_key}
    row |= {"context": current_context(), "fingerprint": hashlib.sha256(request).hexdigest()}
    with transaction() if session is None else nullcontext(session) as whose:
        return accept(whose, row, may_wait).id


def get(pipeline_id: str, client: str | None = None) -> Pipeline:
    """How the pipeline stands that has a step of this id; `client` None sees everyone's.

    Raises:
        PipelineNotFound: also when the pipeline is another client's.
    """
    with standalone() as session:
        return _shown(*_of(session, pipeline_id, client))


def before(job_id: str) -> Any:
    """What the step before this job returned; None where there was none, also for a job by itself.

    Raises:
        PipelineNotFound: that step was purged meanwhile.
    """
    with standalone() as session:
        steps = session.scalar(select(Job.steps).where(Job.id == job_id)) or []
        earlier = list(takewhile(lambda step: step["id"] != job_id, steps))
        if not earlier:
            return None
        row = session.get(Job, earlier[-1]["id"])
    if row is None:
        raise PipelineNotFound("expected the step before to be there, got: one that was purged; submit it all anew")
    return row.result


def cancel(pipeline_id: str, *, by: str, client: str | None) -> Pipeline:
    """Cancel the step that waits at once; ask one that runs to stop; no other one follows.

    Raises:
        PipelineNotFound: there is none, or it is another client's.
        WrongState: it has ended.
    """
    found = get(pipeline_id, client)
    # Again where it went on in that moment.
    while not found.ended:
        try:
            operate.cancel(_last(found).id, by=by, client=None)
        except WrongState:
            found = get(pipeline_id, client)
        else:
            return get(pipeline_id, client)
    raise WrongState(f"expected a pipeline to cancel not to have ended, got: {found.state}")


def retry(pipeline_id: str, *, by: str, client: str | None) -> Pipeline:
    """Queue the step that failed or was cancelled again, its budgets whole; the others follow when it succeeds.

    Raises:
        PipelineNotFound: there is none, or it is another client's.
        WrongState: it did not fail, and was not cancelled.
        TooManyWaiting: as for one job.
    """
    found = get(pipeline_id, client)
    last = _last(found)
    if last.state is State.SUCCEEDED and found.state is State.FAILED:
        # Whoever does it twice at once finds the next job's id taken.
        with suppress(IntegrityError), transaction() as session:
            on_end(session, find(session, last.id, None, lock=True))
    else:
        operate.retry(last.id, by=by, client=client)
    return get(pipeline_id, client)


def on_end(session: Session, row: Job) -> None:
    """Make the job of the next step, if this one has succeeded (`ending.FOLLOWED`).

    The catalogue is not asked any more: what is wrong with the next step is its own dead letter, and undoes nothing.
    Where this one was asked to stop and succeeded all the same, the next one is cancelled and not run.
    """
    steps = row.steps or []
    number = [step["id"] for step in steps].index(row.id) + 1
    if row.state is not State.SUCCEEDED or number == len(steps):
        return
    common = {"steps": steps, "client": row.client, "context": row.context, "fingerprint": row.fingerprint}
    made = accept(session, steps[number] | common)
    if row.cancel_requested_at is not None:
        end(session, made, State.CANCELLED, "the step before succeeded although it was cancelled")


def _of(session: Session, job_id: str, client: str | None) -> tuple[list[Fields], dict[str, Job]]:
    """All steps of this one's pipeline, and the jobs of those whose turn came, by their ids."""
    steps = session.scalar(select(Job.steps).where(Job.id == job_id)) or []
    rows = {row.id: row for row in session.scalars(select(Job).where(Job.id.in_([step["id"] for step in steps])))}
    if not rows or client not in {None, *(row.client for row in rows.values())}:
        raise PipelineNotFound
    return steps, rows


def _shown(steps: list[Fields], rows: dict[str, Job]) -> Pipeline:
    last = max(number for number, step in enumerate(steps) if step["id"] in rows)
    row = rows[steps[last]["id"]]
    # What was purged has succeeded, since others came after it.
    done = [_step(step, rows.get(step["id"]), State.SUCCEEDED) for step in steps[: last + 1]]
    steps_ = done + [_step(step, None, None) for step in steps[last + 1 :]]
    # An older version of the service ends a step and tells nobody.
    state = State.FAILED if row.state is State.SUCCEEDED and row.id != steps[-1]["id"] else row.state
    return Pipeline(steps[0]["id"], row.client, state, state in ENDED, steps_)


def _step(step: Fields, row: Job | None, state: State | None) -> Step:
    if row is None:
        return Step(step["id"], step["task"], step["queue"], state, 0, None)
    return Step(row.id, row.task, row.queue, row.state, row.attempt, row.error_type)


def _last(found: Pipeline) -> Step:
    return [step for step in found.steps if step.state is not None][-1]


def _checked(number: int, task: str, kwargs: Mapping[str, Any]) -> Fields:
    try:
        entry = catalogue.look_up(task)
        catalogue.validate(entry, kwargs)
        encode(kwargs)
    except (UnknownTask, InvalidArguments) as error:
        raise type(error)(f"step {number}: {error.detail}", field=f"steps.{number}") from None
    return {"task": task, "queue": entry.queue, "kwargs": dict(kwargs)}

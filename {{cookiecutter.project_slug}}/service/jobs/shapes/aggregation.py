"""Aggregation: a task that takes up to so many waiting jobs at once, or what there is after a time.

Nothing is kept of a call but who carries whom: its jobs are ordinary ones, each claimed, fenced, and ended by itself.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import timedelta
from functools import wraps
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import select, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from service.database import in_turn, now
from service.errors import AttemptLost, PolicyError, Postpone
from service.jobs import attempts
from service.jobs.attempts import NO_PROGRESS
from service.jobs.history import JOBS, record
from service.jobs.model import Job, PausedQueue, State, Task, is_waiting
from service.observe import context

log = structlog.get_logger()

F = TypeVar("F", bound=Callable[..., Any])

# What a call is given: the arguments of each of its jobs, by the job's id.
Jobs = Mapping[str, Mapping[str, Any]]

# What a job waits for until there are enough of them.
COMPANY = "company"

# Jobs of one call at most, and seconds that a job may wait for others.
MOST, LONGEST = 1000, 3600.0

# Seconds by which those that came later wait longer, so that one doorbell rings for all.
BEHIND = 1.0

# What ends a call of several and says nothing of their arguments, beside what the task names in `autoretry_for`.
NOT_THEIRS = (Postpone, AttemptLost, SoftTimeLimitExceeded, MemoryError, OperationalError, InterfaceError)


class Call(NamedTuple):
    """What the jobs of one call have in common: how many they are, and what it gave, or raised."""

    jobs: int
    given: Any = None
    error: Exception | None = None
    trace: TracebackType | None = None


_call: ContextVar[Call] = ContextVar("call")


def collects(together: Callable[[Any], Any], *, up_to: int, within: float) -> Callable[[F], F]:
    """Let `together` work for up to so many waiting jobs of a task at once, and the task then for each by itself.

    `together` is given the arguments of each job by its id, and the task what that returned, before its own arguments.
    A job waits `within` seconds for others, in its row.

    Raises:
        PolicyError: a number that makes no sense, or a task that takes nothing of the call.
    """

    def decorate(function: F) -> F:
        name = f"task {function.__module__.rpartition('.')[2]}.{function.__name__}"
        if type(up_to) is not int or not 2 <= up_to <= MOST:
            raise PolicyError(f"{name}: up_to: expected 2 to {MOST:,} jobs, got: {up_to!r}; for one, leave it out")
        if type(within) not in {int, float} or not 0 <= within <= LONGEST:
            raise PolicyError(f"{name}: within: expected 0 to {LONGEST:g} seconds, got: {within!r}; correct it")
        of = inspect.signature(function)
        names = [known for known, each in of.parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
        if len(names) < 2 or names[0] != "self":
            raise PolicyError(f"{name}: expected self and what was done together, got: {of}; add them, and bind=True")

        @wraps(function)
        def each(self: Any, **kwargs: Any) -> Any:
            """One job's part; the call was made before."""
            if self.job.row.carried_by is not None:
                self.job.check_cancelled()
            call, passing = _call.get(), (*NOT_THEIRS, *getattr(self, "autoretry_for", ()))
            if call.error is None:
                return function(self, call.given, **kwargs)
            if call.jobs == 1 or isinstance(call.error, passing):
                raise call.error.with_traceback(call.trace)
            # One of them is at fault, which one is seen by itself.
            return function(self, together({self.job.id: kwargs}), **kwargs)

        def carry(attempt: Callable[[Job], str], row: Job) -> str:
            rows: Sequence[Job] = [row]
            try:
                if not (rows := _gather(row, up_to, within)):
                    return "postponed"
                call = Call(len(rows), together({row.id: row.kwargs for row in rows if _fits(signature, row.kwargs)}))
            except Exception as error:
                call = Call(len(rows), error=error, trace=error.__traceback__)
            return _one_by_one(rows, call, attempt)

        kept = [parameter for parameter in of.parameters.values() if parameter.name != names[1]]
        signature = each.__signature__ = of.replace(parameters=kept)  # type: ignore[attr-defined]
        each.__annotations__ = {key: value for key, value in function.__annotations__.items() if key != names[1]}
        each.carry = carry  # type: ignore[attr-defined]
        return each  # type: ignore[return-value]

    return decorate


def _one_by_one(rows: Sequence[Job], call: Call, attempt: Callable[[Job], str]) -> str:
    """Let each job come to its own end, in its own transaction; gives what came of the first."""
    common = structlog.contextvars.get_contextvars()
    _call.set(call)
    said = last = attempt(rows[0])
    own = structlog.contextvars.get_contextvars()
    for row in rows[1:]:
        if last == "crashed":
            # It was no single one's, and all of them are queued again.
            break
        about = {"job_id": row.id, "attempt": row.attempt, "client": row.client}
        context.clear()
        context.bind(**common | context.fields(row.context) | about)
        last = attempt(row)
        log.info(f"job {last}")
    context.clear()
    context.bind(**own)
    return said


def _fits(signature: inspect.Signature, kwargs: Mapping[str, Any]) -> bool:
    """Whether the task takes these; where not, its attempt says so, and the call is spared them."""
    try:
        return bool(signature.bind(None, **kwargs))
    except TypeError:
        return False


def _gather(row: Job, up_to: int, within: float) -> Sequence[Job]:
    """The job and its company, claimed in one statement; none while it waits for more.

    Whoever took its process or its worker along goes alone, so that it takes nobody else; so does whoever has a lock.

    Raises:
        AttemptLost: the job is no longer this attempt's.
        Postpone: hundreds of the client's decide in this process.
    """
    if row.crashes or row.losses or row.lock_key is not None:
        return [row]
    with in_turn(f"{row.task} of {row.client}", COMPANY) as session:
        # One at a time decides for a task: two that look at once would both wait, and then both go.
        session.execute(select(Task.name).where(Task.name == row.task).with_for_update())
        present = session.scalars(select(now())).one()
        found = _waiting(session, row, up_to - 1, within)
        # Only who was never claimed before waits.
        if row.attempt == 1 and len(found) < up_to - 1:
            due = [other.run_at + timedelta(seconds=BEHIND) for other in found if other.waiting_for == COMPANY]
            until = min(due, default=row.run_at + timedelta(seconds=within))
            if until > present:
                # Seen by the next one that decides, since it is of this transaction.
                attempts.postpone(row, COMPANY, (until - present).total_seconds(), session)
                return []
        return _claim(session, row, [other.id for other in found]) if found else [row]


def _waiting(session: Session, row: Job, most: int, within: float) -> Sequence[Any]:
    """The jobs that this one may carry, the longest due first; nobody else can take them until the transaction ends.

    They are of one client: what another one ordered must neither fail them nor be told in their history.
    """
    mine = (Job.task == row.task, Job.queue == row.queue, Job.client == row.client)
    free = Job.queue.not_in(select(PausedQueue.name))
    whole = (is_waiting, free, Job.lock_key.is_(None), Job.crashes == 0, Job.losses == 0)
    due = (Job.run_at <= now(within + BEHIND), (Job.run_at <= now()) | (Job.waiting_for == COMPANY))
    query = select(Job.id, Job.run_at, Job.waiting_for).where(*mine, *whole, *due).order_by(Job.run_at).limit(most)
    return session.execute(query.with_for_update(skip_locked=True, key_share=True)).all()


def _claim(session: Session, row: Job, ids: Sequence[str]) -> Sequence[Job]:
    attempts.write(session, row, carried_by=row.id)
    taken = {"state": State.RUNNING, "attempt": JOBS.c.attempt + 1, "worker": row.worker, "pid": row.pid}
    times = {"started_at": now(), "deadline": row.deadline, "waiting_for": None, "carried_by": row.id}
    claim = update(JOBS).where(JOBS.c.id.in_(ids), is_waiting).values(taken | times | NO_PROGRESS).returning(*JOBS.c)
    others = [Job(**found._mapping) for found in session.execute(claim)]
    for other in others:
        record(session, other, "started", f"with {row.id}", by=row.worker)
    row.carried_by = row.id
    return [row, *sorted(others, key=lambda other: other.run_at)]

"""What becomes of a job whose attempt raised: another attempt, a dead letter, or its cancellation."""

import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.exceptions import Retry

from service.database import AWAY
from service.errors import AttemptLost, JobCancelled, Postpone
from service.jobs import Job, attempts, casualties
from service.jobs.attempts import Failure, asked_to_stop

if TYPE_CHECKING:
    from service.worker.task import DurableTask

TIME_LIMITS = (SoftTimeLimitExceeded, TimeLimitExceeded)

# Characters that are kept: of an error's message from its beginning, which a third party may have written; of a
# traceback from its end.
MAX_MESSAGE, MAX_TRACEBACK = 2000, 20_000


class InvalidResult(Exception):
    """What the task returned cannot be kept."""


class UnfitArguments(Exception):
    """The job was submitted for another version of the task."""


def demand_fit(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Hold a job's arguments against the function as it is in this version.

    Raises:
        UnfitArguments: so that the job becomes a dead letter, to be retried once code and arguments agree.
    """
    try:
        inspect.signature(function).bind(**kwargs)
    except TypeError as error:
        raise UnfitArguments(f"expected the arguments of this version, got: {error}; retry it after a fix") from error


def settle(task: "DurableTask", row: Job, error: BaseException) -> str:
    """Write down what came of the attempt; gives it in a word.

    Raises:
        AttemptLost: the job went on without this attempt.
        OperationalError, InterfaceError: the store is away.
    """
    if isinstance(error, AttemptLost):
        raise error
    if isinstance(error, JobCancelled) or (isinstance(error, TIME_LIMITS) and asked_to_stop(row)):
        attempts.cancel(row)
        return "cancelled"
    # Of several that run together nobody can say whose time it was.
    if isinstance(error, MemoryError) or (row.carried_by and isinstance(error, TIME_LIMITS)):
        casualties.crashed(row.carried_by or row.id, row.worker or "", row.pid, repr(error))
        return "crashed"
    try:
        if isinstance(error, Postpone):
            attempts.postpone(row, error.waiting_for, error.seconds)
            return "postponed"
        if _may_pass(task, error) and row.failures < task.max_retries:
            attempts.retry(row, _failure(error), _seconds(task, row, error))
            return "retrying"
    except JobCancelled as asked:
        return settle(task, row, asked)
    attempts.fail(row, _failure(error))
    return "failed"


def _may_pass(task: "DurableTask", error: BaseException) -> bool:
    named: tuple[type[BaseException], ...] = tuple(getattr(task, "autoretry_for", ()))
    never: tuple[type[BaseException], ...] = tuple(getattr(task, "dont_autoretry_for", ()))
    if isinstance(error, TimeLimitExceeded):
        # To a task both limits are one: it names the soft one when an attempt that timed out is worth another.
        return SoftTimeLimitExceeded in named
    # The store itself was away, or two transactions met: that is always worth another attempt.
    return isinstance(error, (Retry, *AWAY, *named)) and not isinstance(error, never)


def _seconds(task: "DurableTask", row: Job, error: BaseException) -> float:
    """What the task or the third party asked for, and never less than the policy's backoff for the latter."""
    if isinstance(error, Retry) and isinstance(error.when, int | float):
        return max(0.0, float(error.when))
    cause = error.exc if isinstance(error, Retry) else error
    return max(getattr(cause, "retry_after", None) or 0.0, task.policy.wait(row.failures + 1))


def _failure(error: BaseException) -> Failure:
    if isinstance(error, TIME_LIMITS):
        return Failure("timeout", f"{error}, the task's limit", _trace(error))
    if isinstance(error, UnfitArguments | InvalidResult):
        return Failure("arguments" if isinstance(error, UnfitArguments) else "result", str(error))
    cause = error.exc if isinstance(error, Retry) and error.exc else error
    return Failure(type(cause).__name__, str(cause)[:MAX_MESSAGE], _trace(cause))


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-MAX_TRACEBACK:]

"""A message in the worker's parent process: how a job ends whose child could not say so itself."""

from functools import partial
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded
from celery.worker.request import Request
from celery.worker.state import task_ready

from service.jobs import casualties
from service.worker import outcome, runner


class JobRequest(Request):
    """Celery's request, whose ends are rows; plain `.delay()` messages end as Celery says."""

    @property
    def durable(self) -> bool:
        """Whether the message is a doorbell."""
        return bool(self.request_dict.get("durable"))

    def revoked(self) -> bool:
        """A doorbell never is: whoever reaches the broker could silence a job by one that has expired."""
        return not self.durable and bool(super().revoked())

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The hard limit killed the child; stock Celery would signal the failure twice and forget the job."""
        if soft or not self.durable:
            super().on_timeout(soft, timeout)
            return
        self._end(partial(_timed_out, self.task, self.id, TimeLimitExceeded(timeout)))

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """The child died, or raised beyond what the runner catches; a job it had in hand is queued at once."""
        if not self.durable:
            super().on_failure(exc_info, send_failed_event, return_ok)
            return
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        # Of the hard limit `on_timeout` is told besides.
        if not isinstance(error, TimeLimitExceeded):
            reason = f"{type(error).__name__}: {error}"
            self._end(partial(casualties.crashed, self.id, runner.worker_name, self.worker_pid, reason))

    def _end(self, act: Any) -> None:
        # The store is written by the keeper's thread: the consumer's loop must not wait for a database.
        task_ready(self)
        self.app.keeper.report(act)
        self.acknowledge()


def _timed_out(task: Any, job_id: str, error: TimeLimitExceeded) -> None:
    row = casualties.running(job_id, runner.worker_name)
    if row is not None:
        outcome.settle(task, row, error)

"""A message in the worker's parent process: how a job ends whose child could not say so itself."""

from functools import partial
from typing import Any

from billiard.exceptions import TimeLimitExceeded
from celery.worker.request import Request
from celery.worker.state import task_ready

from service.jobs import casualties
from service.worker import outcome, runner


class JobRequest(Request):
    """Celery's request, whose ends are rows; plain `.delay()` messages end as Celery says."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The hard limit killed the child; stock Celery would signal the failure twice and forget the job."""
        if soft or not self.request_dict.get("durable"):
            super().on_timeout(soft, timeout)
        else:
            self._end(partial(_timed_out, self.task, self.id, self.worker_pid, TimeLimitExceeded(timeout)))

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """The child died, or raised beyond what the runner catches; a job it had in hand is queued at once."""
        # What a child sends is wrapped.
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if not self.request_dict.get("durable"):
            super().on_failure(exc_info, send_failed_event, return_ok)
        # Of the hard limit `on_timeout` is told besides.
        elif not isinstance(error, TimeLimitExceeded):
            reason = f"{type(error).__name__}: {error}"
            self._end(partial(casualties.crashed, self.id, runner.worker_name, self.worker_pid, reason))

    def _end(self, act: Any) -> None:
        # The store is written by the keeper's thread: the consumer's loop must not wait for a database.
        task_ready(self)
        self.app.keeper.report(act)
        self.acknowledge()


def _timed_out(task: Any, job_id: str, pid: int | None, error: TimeLimitExceeded) -> None:
    # A second doorbell's process may be killed, too, while another runs the job.
    if row := casualties.running(job_id, runner.worker_name, pid):
        outcome.settle(task, row, error)

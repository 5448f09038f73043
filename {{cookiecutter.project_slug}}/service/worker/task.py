"""The base classes of tasks, with every preset of the policy."""

from operator import attrgetter
from typing import Any, ClassVar

from celery import Task
from celery.exceptions import Retry

from service.jobs.doorbell import broker_queue
from service.observe import context
from service.queues import Queue
from service.worker import runner
from service.worker.job import RunningJob


class DurableTask(Task):
    """A task whose work is a row: submitted it is durable, `.delay()` stays what Celery says it is."""

    kind: ClassVar[str]
    Request = "service.worker.request:JobRequest"

    # The message is the second line of defence; the row is the first.
    acks_late = True
    # Results live in the row: no backend that fills, fails, or turns a success into a failure.
    ignore_result = True
    # Celery's own backoff can come to no wait at all; `retry` below has the service's.
    retry_backoff = False
    # Seconds until SoftTimeLimitExceeded is raised, and until the process is killed; failures that are tried again.
    soft_time_limit = property(attrgetter("policy.soft_limit"))
    time_limit = property(attrgetter("policy.hard_limit"))
    max_retries = property(attrgetter("policy.max_retries"))
    # The function itself: without Celery's autoretry around it, which would publish a message.
    function = property(attrgetter("__wrapped__"))
    # The broker's queue for `.delay()`.
    queue = property(lambda task: broker_queue(task.kind).name)

    @property
    def policy(self) -> Queue:
        """The numbers of this task's queue."""
        return self.app.queues[self.kind]  # type: ignore[no-any-return]

    @property
    def job(self) -> RunningJob:
        """The durable job that runs now.

        Raises:
            RuntimeError: this is a plain Celery call.
        """
        job = getattr(self.request, "job", None)
        # A message may bring a header of this name.
        if not isinstance(job, RunningJob):
            remedy = f'use service.jobs.submit("{self.name}", ...)'
            raise RuntimeError(f"expected {self.name} to run as a durable job, got: a plain Celery call; {remedy}")
        return job

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run for the row that the message speaks of; a message of `.delay()` speaks of none."""
        context.clear()
        if getattr(self.request, "durable", False):
            return runner.run(self, self.request.id)
        return super().__call__(*args, **kwargs)

    def retry(self, *args: Any, exc: Exception | None = None, countdown: float | None = None, **options: Any) -> Any:
        """As Celery's; for a durable job the row waits, and no message has to reach the broker."""
        if getattr(self.request, "durable", False):
            raise Retry(exc=exc, when=countdown)
        if countdown is None and not options.get("eta"):
            countdown = self.policy.wait(self.request.retries + 1)
        return super().retry(*args, exc=exc, countdown=countdown, **options)


class FastTask(DurableTask):
    """Work of seconds, on the queue `fast`."""

    kind = "fast"


class SlowTask(DurableTask):
    """Work of minutes, on the queue `slow`."""

    kind = "slow"

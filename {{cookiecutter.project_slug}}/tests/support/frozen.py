"""A worker that stops in the middle of a job without dying, as a machine that swaps or a container that is paused."""

import signal
import time
from typing import Any

from service.jobs import Job
from tests.support.stack import Role, Stack, until


def taken_over(stack: Stack, task: str, **kwargs: Any) -> tuple[Role, Job, float]:
    """Freeze a worker over a job that another one then ends; gives the frozen one, the job, and the seconds it took."""
    frozen = stack.start("worker", "slow")
    row = stack.submit(task, **kwargs)
    until(lambda: stack.attempts(row.id))
    frozen.signal(signal.SIGSTOP, group=True)
    began = time.monotonic()
    stack.start("worker", "slow")
    (done,) = stack.ended(row.id, seconds=45)
    return frozen, done, time.monotonic() - began

"""Tasks for pipelines: the three steps of an order, each of which does as it is told."""

import os
import signal
import time
from typing import Any

from sqlalchemy import insert

from service.config import settings
from service.errors import UpstreamError
from service.jobs.shapes import pipelines
from service.worker import FastTask, SlowTask, app
from tests.support.effects import EFFECTS
from tests.support.tasks.trials import mark


def work(task: FastTask | SlowTask, order: int, does: str, seconds: float) -> dict[str, Any]:
    """Write a row in the job's transaction; give back what the step before gave."""
    mark(task)
    before = pipelines.before(task.job.id)
    for _ in range(int(seconds * 10)):
        if does == "look":
            task.job.check_cancelled()
        time.sleep(0.1)
    with task.job.transaction() as session:
        session.execute(insert(EFFECTS).values(job_id=task.job.id, attempt=task.job.attempt))
        if does == "die once" and not task.job.row.crashes:
            os.kill(os.getpid(), signal.SIGKILL)
        if does == "fail once" and not task.job.row.failures:
            raise UpstreamError("503 from upstream", retry_after=0.1)
        if does == "fail" and not (settings().state_dir / f"mended-{order}").exists():
            raise ValueError("the data are wrong")
    return {"order": order, "did": [*(before["did"] if before else []), task.name]}


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def pick(self: FastTask, order: int, does: str = "succeed", seconds: float = 0.0) -> dict[str, Any]:
    """The first step, on the fast queue."""
    return work(self, order, does, seconds)


@app.task(base=SlowTask, bind=True, autoretry_for=(UpstreamError,))
def pack(self: SlowTask, order: int, does: str = "succeed", seconds: float = 0.0) -> dict[str, Any]:
    """The second, on the slow one."""
    return work(self, order, does, seconds)


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def deliver(self: FastTask, order: int, does: str = "succeed", seconds: float = 0.0) -> dict[str, Any]:
    """The last."""
    return work(self, order, does, seconds)


@app.task(base=FastTask, bind=True)
def begins(self: FastTask, order: int, fail: bool = False) -> str:
    """Submit a pipeline with this job's own success."""
    mark(self)
    with self.job.transaction() as session:
        steps = [("errands.pick", {"order": order}), ("errands.pack", {"order": order})]
        made = pipelines.submit(steps, client=self.job.row.client, session=session)
    if fail:
        raise ValueError("after the pipeline was submitted")
    return made

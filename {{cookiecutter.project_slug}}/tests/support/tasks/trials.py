"""Tasks that do what tasks should not, for the tests; each leaves a mark of every attempt in a file."""

import os
import signal
import sys
import time
from pathlib import Path

from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import insert, select

from service import database
from service.config import settings
from service.errors import UpstreamError
from service.jobs import Job
from service.outbound import client
from service.worker import FastTask, SlowTask, app
from tests.support.effects import EFFECTS


def mark(task: FastTask | SlowTask) -> None:
    """Leave a line for this attempt, which no transaction can take back."""
    path = settings().state_dir / "marks" / task.job.id
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as marks:
        marks.write(f"{task.job.attempt} {os.getpid()} {time.time()}\n")


@app.task(base=FastTask, bind=True)
def echo(self: FastTask, value: str) -> str:
    """Do nothing, well."""
    mark(self)
    return value


@app.task(base=FastTask)
def linger(seconds: float) -> None:
    """Take a while, as a job or as a plain call."""
    time.sleep(seconds)


@app.task(base=SlowTask, bind=True)
def sleep(self: SlowTask, seconds: float) -> str:
    """Take a while, and look at nothing."""
    mark(self)
    time.sleep(seconds)
    return "slept"


@app.task(base=SlowTask, bind=True)
def patient(self: SlowTask, seconds: float) -> str:
    """Take a while, and look whether to stop."""
    mark(self)
    for done in range(int(seconds * 10)):
        self.job.progress(done, int(seconds * 10))
        self.job.check_cancelled()
        time.sleep(0.1)
    return "slept"


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def flaky(self: FastTask, failures: int) -> int:
    """Fail this many times in a way that may pass."""
    mark(self)
    if self.job.row.failures < failures:
        raise UpstreamError("503 from upstream", retry_after=0.1)
    return self.job.attempt


@app.task(base=FastTask, bind=True)
def broken(self: FastTask) -> None:
    """Fail in a way that will not pass."""
    mark(self)
    raise ValueError("the data are wrong")


@app.task(base=FastTask, bind=True)
def deadly(self: FastTask, times: int = 1_000_000, how: str = "kill") -> str:
    """End the process that runs it, the first `times` times."""
    mark(self)
    if self.job.row.crashes < times:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "exit":
            sys.exit(1)
        raise MemoryError("no more")
    return "survived"


@app.task(base=FastTask, bind=True, soft_time_limit=1, time_limit=2)
def stubborn(self: FastTask, swallow: bool = True) -> None:
    """Run over its limit, and ignore the soft one if it swallows."""
    mark(self)
    while True:
        try:
            time.sleep(30)
        except SoftTimeLimitExceeded:
            if not swallow:
                raise


@app.task(base=SlowTask, bind=True)
def effect(self: SlowTask, seconds: float, fail: bool = False) -> str:
    """Write a row in the job's transaction, and take a while before it ends."""
    mark(self)
    with self.job.transaction() as session:
        session.execute(insert(EFFECTS).values(job_id=self.job.id, attempt=self.job.attempt))
        Path(settings().state_dir / f"written-{self.job.id}").touch()
        time.sleep(seconds)
        if fail:
            raise ValueError("after the row was written")
    return "written"


@app.task(base=SlowTask, bind=True)
def late_effect(self: SlowTask, seconds: float) -> str:
    """Take a while, and then write a row."""
    mark(self)
    time.sleep(seconds)
    with self.job.transaction() as session:
        session.execute(insert(EFFECTS).values(job_id=self.job.id, attempt=self.job.attempt))
    return "written"


@app.task(base=FastTask, bind=True)
def chain(self: FastTask, left: int) -> int:
    """Submit the next step with this one's success."""
    mark(self)
    if left:
        self.job.submit("trials.chain", {"left": left - 1})
    return left


@app.task(base=FastTask, bind=True)
def returns(self: FastTask, what: str) -> object:
    """Return what cannot be kept."""
    mark(self)
    return {"object": object(), "large": "x" * 300_000, "nan": float("nan")}[what]


@app.task(base=FastTask, bind=True)
def blocks(self: FastTask, how: str = "delay") -> object:
    """Wait for another task inside this one."""
    if how == "send_task":
        return app.send_task("trials.echo", kwargs={"value": "x"}, queue=self.queue).get(timeout=5)
    return echo.delay("x").get(timeout=5)


@app.task(base=FastTask, bind=True)
def leak(self: FastTask) -> int:
    """Grow by 60 MB for good."""
    mark(self)
    sys.modules[__name__].__dict__.setdefault("HOARD", []).append(bytearray(os.urandom(1024)) * 60_000)
    return os.getpid()


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def posts(self: FastTask, url: str) -> int:
    """Post something to a third party."""
    return client.post_json(url, {"message": "x"}, idempotency_key=self.job.id).status_code


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def posts_often(self: FastTask, url: str, times: int) -> None:
    """Post several things to a third party, one after the other."""
    for _ in range(times):
        client.post_json(url, {"message": "x"}, idempotency_key=self.job.id)


@app.task(base=FastTask, bind=True)
def counts(self: FastTask, times: int) -> int:
    """Query the store many times over, on whatever connection this process has."""
    for _ in range(times):
        with database.standalone() as session:
            if session.scalar(select(Job.id).where(Job.id == self.job.id)) != self.job.id:
                raise ValueError("another process's answer")
    return os.getpid()

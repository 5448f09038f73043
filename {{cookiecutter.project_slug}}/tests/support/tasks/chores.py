"""The soak's tasks: each marks its attempts in files, and writes one effect in its job's transaction."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import insert

from service.config import settings
from service.errors import UpstreamError
from service.outbound import client
from service.worker import FastTask, SlowTask, app
from tests.soak.marks import marked
from tests.support.effects import EFFECTS


@contextmanager
def chore(task: FastTask | SlowTask) -> Iterator[None]:
    """One attempt, with its marks around it and its effect at its end."""
    with marked(settings().state_dir / "marks", task.job.id, task.job.attempt):
        yield
        effect(task)


def effect(task: FastTask | SlowTask) -> None:
    """Write down that this attempt has done it, unless it comes to nothing."""
    with task.job.transaction() as session:
        session.execute(insert(EFFECTS).values(job_id=task.job.id, attempt=task.job.attempt))


@app.task(base=FastTask, bind=True)
def quick(self: FastTask, seconds: float) -> None:
    """Be done soon."""
    with chore(self):
        time.sleep(seconds)


@app.task(base=SlowTask, bind=True)
def long(self: SlowTask, seconds: float) -> None:
    """Take a while."""
    with chore(self):
        time.sleep(seconds)


@app.task(base=SlowTask, bind=True)
def patient(self: SlowTask, seconds: float) -> None:
    """Take a while, say how far it is, and look whether to stop."""
    with chore(self):
        for tenth in range(int(seconds * 10)):
            self.job.progress(tenth, int(seconds * 10))
            time.sleep(0.1)


@app.task(base=SlowTask, bind=True)
def deaf(self: SlowTask, seconds: float) -> None:
    """Take longer than anybody wants, and look at nothing."""
    with chore(self):
        time.sleep(seconds)


@app.task(base=FastTask, bind=True)
def hopeless(self: FastTask) -> None:
    """Write an effect, and fail for good: the effect must go."""
    with chore(self):
        effect(self)
        raise ValueError("the data are wrong")


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def flaky(self: FastTask, failures: int) -> None:
    """Write an effect, and fail this many times before it may stay."""
    with chore(self):
        if self.job.row.failures < failures:
            effect(self)
            raise UpstreamError("503 from upstream", retry_after=0.1)


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def calls(self: FastTask, url: str) -> None:
    """Call a third party."""
    with chore(self):
        client.post_json(url, {}, idempotency_key=self.job.id)


@app.task(base=SlowTask, bind=True)
def waits(self: SlowTask, seconds: float) -> bool:
    """Wait, and say whether in a greenlet."""
    with chore(self):
        time.sleep(seconds)
    return "gevent.monkey" in sys.modules


@app.task(base=SlowTask, bind=True)
def writes(self: SlowTask, seconds: float) -> None:
    """Write the effect first and hold the transaction open for a while."""
    with marked(settings().state_dir / "marks", self.job.id, self.job.attempt):
        effect(self)
        time.sleep(seconds)


@app.task(base=FastTask, bind=True)
def first(self: FastTask, seconds: float) -> None:
    """Have the second step follow."""
    with chore(self):
        self.job.submit("chores.second", {"after": self.job.id})
        time.sleep(seconds)


@app.task(base=FastTask, bind=True)
def second(self: FastTask, after: str) -> None:
    """Follow the first, of which the books know by the argument."""
    with chore(self):
        pass


@app.task(base=SlowTask, bind=True)
def hoard(self: SlowTask, seconds: float) -> int:
    """Keep more and more, a tenth of a megabyte in a tenth of a second."""
    kept: list[bytes] = []
    for _ in range(int(seconds * 10)):
        kept.append(bytes(100_000))
        self.job.check_cancelled()
        time.sleep(0.1)
    return len(kept)

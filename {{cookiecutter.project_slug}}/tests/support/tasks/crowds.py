"""Tasks for batches: the one of many, which does as it is told, and the one that follows them."""

import time
from typing import Any

from service.errors import UpstreamError
from service.jobs.shapes import batches
from service.worker import FastTask, SlowTask, app
from tests.support.tasks.trials import mark


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def one(self: FastTask, number: int, does: str = "succeed", seconds: float = 0.0) -> int:
    """Square a number, or fail once, or fail for good."""
    mark(self)
    time.sleep(seconds)
    if does == "fail once" and not self.job.row.failures:
        raise UpstreamError("503 from upstream", retry_after=0.1)
    if does == "fail":
        raise ValueError("the data are wrong")
    return number * number


@app.task(base=SlowTask, bind=True)
def slow(self: SlowTask, seconds: float) -> None:
    """Take a while, and look whether to stop."""
    mark(self)
    for _ in range(int(seconds * 10)):
        self.job.check_cancelled()
        time.sleep(0.1)


@app.task(base=FastTask, bind=True)
def reduce(self: FastTask, title: str) -> dict[str, Any]:
    """Take together what the batch came to, in its order."""
    mark(self)
    return {"title": title, "of": [[row.state.value, row.result] for row in batches.results(self.job.id)]}


@app.task(base=FastTask, bind=True)
def fans_out(self: FastTask, numbers: list[int], fail: bool = False) -> str:
    """Submit a batch with this job's own success."""
    mark(self)
    then = ("crowds.reduce", {"title": "from inside"})
    with self.job.transaction() as session:
        items = [{"number": number} for number in numbers]
        made = batches.submit("crowds.one", items, then=then, client=self.job.row.client, session=session)
    if fail:
        raise ValueError("after the batch was submitted")
    return made

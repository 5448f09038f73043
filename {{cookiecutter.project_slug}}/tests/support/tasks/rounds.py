"""A picker's rounds, for the tests of aggregation: up to ten orders at once, each done by itself."""

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import insert

from service.config import settings
from service.errors import UpstreamError
from service.jobs.shapes.aggregation import Jobs, collects
from service.worker import FastTask, SlowTask, app
from tests.support.effects import EFFECTS
from tests.support.tasks.trials import mark


def walk(orders: Jobs) -> Mapping[str, Any]:
    """Go once for all of them; what they say may go wrong on the way."""
    path = settings().state_dir / "rounds"
    with path.open("a") as rounds:
        rounds.write(f"{time.time()} {os.getpid()} {' '.join(orders)}\n")
    said = [order.get("walk") for order in orders.values()]
    if "kill" in said:
        os.kill(os.getpid(), signal.SIGKILL)
    if "wrong" in said:
        raise ValueError("no such shelf")
    if "closed" in said:
        raise UpstreamError("503 from the store room", retry_after=0.1)
    if "long" in said:
        time.sleep(60)
    return {"together": len(orders)}


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
@collects(walk, up_to=10, within=3)
def carry(self: FastTask, way: Mapping[str, Any], order: int, does: str = "", walk: str = "") -> dict[str, int]:
    """Carry one of them."""
    mark(self)
    with self.job.transaction() as session:
        session.execute(insert(EFFECTS).values(job_id=self.job.id, attempt=self.job.attempt))
        if does == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if does == "drop once" and not self.job.row.failures:
            raise UpstreamError("the shelf is blocked", retry_after=0.1)
        if does == "drop":
            raise ValueError("no such order")
    return {"order": order, "together": way["together"]}


@app.task(base=SlowTask, bind=True)
@collects(walk, up_to=10, within=60)
def haul(self: SlowTask, way: Mapping[str, Any], seconds: float) -> int:
    """Take a while over each of them."""
    mark(self)
    for _ in range(int(seconds * 10)):
        time.sleep(0.1)
        self.job.check_cancelled()
    with self.job.transaction() as session:
        session.execute(insert(EFFECTS).values(job_id=self.job.id, attempt=self.job.attempt))
    return int(way["together"])


@app.task(base=FastTask, bind=True, soft_time_limit=2, time_limit=3)
@collects(walk, up_to=10, within=60)
def crawl(self: FastTask, way: Mapping[str, Any], seconds: float, swallow: bool = False) -> int:
    """Run over the limit of the call, and ignore the soft one if it swallows."""
    mark(self)
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        if not swallow:
            raise
        time.sleep(30)
    return int(way["together"])

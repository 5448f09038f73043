"""The service on Celery: what its defaults give, with results in Redis where RESULTS says so."""

import os
import time

from celery import Celery

from benchmarks.peers import web as http
from benchmarks.peers import work

RESULTS = os.environ.get("RESULTS") == "1"

app = Celery("bench", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"] if RESULTS else None)
app.conf.task_ignore_result = not RESULTS


@app.task
def export(title: str, rows: int) -> None:
    """Stand for the example's report."""


@app.task
def nothing() -> None:
    """Do nothing."""


@app.task
def echo(sent: float) -> None:
    """Say how long it waited."""
    app.connection_for_write().default_channel.client.rpush("waits", time.time() - sent)


@app.task
def sleep(seconds: float, marks: str) -> None:
    """Wait."""
    work.sleep(seconds, marks)


web = http.flask(lambda title, rows: str(export.delay(title, rows).id))


def fill(count: int) -> None:
    """So many jobs that do nothing."""
    for _ in range(count):
        nothing.delay()


def slow(count: int, seconds: float) -> None:
    """So many jobs that wait, on the one queue that there is."""
    for _ in range(count):
        sleep.delay(seconds, os.devnull)


def fast(count: int, pause: float) -> None:
    """So many fast jobs, on the same queue."""
    for _ in range(count):
        echo.delay(time.time())
        time.sleep(pause)


def order(seconds: float, marks: str) -> None:
    """One job that waits."""
    sleep.delay(seconds, marks)

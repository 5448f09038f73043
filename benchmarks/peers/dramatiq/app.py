"""The service on Dramatiq."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import web as http
from benchmarks.peers import work

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def export(title: str, rows: int) -> None:
    """Stand for the example's report."""


@dramatiq.actor
def nothing() -> None:
    """Do nothing."""


@dramatiq.actor
def sleep(seconds: float, marks: str) -> None:
    """Wait."""
    work.sleep(seconds, marks)


web = http.flask(lambda title, rows: str(export.send(title, rows).message_id))


def fill(count: int) -> None:
    """So many jobs that do nothing."""
    for _ in range(count):
        nothing.send()


def order(seconds: float, marks: str) -> None:
    """One job that waits."""
    sleep.send(seconds, marks)

"""The service on Huey."""

import os

from huey import RedisHuey

from benchmarks.peers import web as http
from benchmarks.peers import work

huey = RedisHuey("bench", url=os.environ["REDIS_URL"])


@huey.task()
def export(title: str, rows: int) -> None:
    """Stand for the example's report."""


@huey.task()
def nothing() -> None:
    """Do nothing."""


@huey.task()
def sleep(seconds: float, marks: str) -> None:
    """Wait."""
    work.sleep(seconds, marks)


web = http.flask(lambda title, rows: str(export(title, rows).id))


def fill(count: int) -> None:
    """So many jobs that do nothing."""
    for _ in range(count):
        nothing()


def order(seconds: float, marks: str) -> None:
    """One job that waits."""
    sleep(seconds, marks)

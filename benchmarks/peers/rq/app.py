"""The service on RQ."""

import os

from redis import Redis
from rq import Queue

from benchmarks.peers import web as http
from benchmarks.peers import work
from benchmarks.peers.rq.tasks import export, nothing

queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))


web = http.flask(lambda title, rows: str(queue.enqueue(export, title, rows).id))


def fill(count: int) -> None:
    """So many jobs that do nothing."""
    for _ in range(count):
        queue.enqueue(nothing)


def order(seconds: float, marks: str) -> None:
    """One job that waits."""
    queue.enqueue(work.sleep, seconds, marks)

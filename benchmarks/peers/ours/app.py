"""Jobs of the rendered service, ordered from its own code; runs in its environment."""

import json
import time
import uuid
from datetime import UTC, datetime

import redis
from service.config import settings  # type: ignore[import-not-found]
from service.database import new_id, transaction  # type: ignore[import-not-found]
from service.jobs import doorbell, submit  # type: ignore[import-not-found]
from service.jobs.doorbell import Bell, broker_queue  # type: ignore[import-not-found]
from service.jobs.model import Event, Job, State  # type: ignore[import-not-found]
from service.queues import MAX_DOORBELLS  # type: ignore[import-not-found]
from sqlalchemy import insert  # type: ignore[import-not-found]

ROWS = 10_000


def fill(count: int) -> None:
    """So many jobs that do nothing: the rows and the doorbells that as many calls of `submit` leave, in less time."""
    ring = Rope()
    for first in range(0, count, ROWS):
        moment = datetime.now(UTC)
        common = {
            "task": "canary.fast", "queue": "fast", "kwargs": {}, "client": "bench", "fingerprint": "", "context": {},
            "state": State.QUEUED, "run_at": moment, "rung_at": moment, "created_at": moment,
        }  # fmt: skip
        rows = [common | {"id": new_id()} for _ in range(min(ROWS, count - first))]
        with transaction() as session:
            session.execute(insert(Job), rows)
            accepted = {"attempt": 0, "event": "accepted", "by": "bench"}
            session.execute(insert(Event), [accepted | {"job_id": row["id"]} for row in rows])
        ring.pull([str(row["id"]) for row in rows])


class Rope:
    """Rings for many jobs at once: the service's own doorbell for the first, and copies of it for the others."""

    def __init__(self) -> None:
        self._client = redis.Redis.from_url(settings().broker_url.get_secret_value())
        self._key = broker_queue("fast").name

    def pull(self, ids: list[str]) -> None:
        """Ring for jobs; beyond what a queue may hold the reconciler does, when there is room."""
        Bell().publish(ids[0], "canary.fast", "fast")
        room = MAX_DOORBELLS - self._client.llen(self._key)
        message = self._client.lindex(self._key, 0)
        tag = json.loads(message)["properties"]["delivery_tag"]
        copies = [
            message.replace(ids[0].encode(), each.encode()).replace(tag.encode(), str(uuid.uuid4()).encode())
            for each in ids[1 : room + 1]
        ]
        if copies:
            self._client.lpush(self._key, *copies)


def slow(count: int, seconds: float) -> None:
    """So many slow jobs that wait."""
    for _ in range(count):
        submit("trials.sleep", {"seconds": seconds})
    doorbell.flush(60)


def fast(count: int, pause: float) -> None:
    """So many fast jobs, one after the other."""
    for _ in range(count):
        submit("trials.echo", {"value": "x"})
        time.sleep(pause)
    doorbell.flush(60)


def order(seconds: float, _marks: str) -> None:
    """One slow job; where it began is seen in its history."""
    slow(1, seconds)

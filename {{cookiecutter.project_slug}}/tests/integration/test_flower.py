"""What Flower lives on: the events of tasks, as Celery sends them."""

import contextlib
from typing import Any

from celery.events import EventReceiver
from kombu import Connection

from service.worker.app import app
from tests.support.stack import Stack, until


def test_what_becomes_of_a_task_is_told_within_seconds(stack: Stack) -> None:
    """By the second: one message for each event was more than a third of a worker's own work."""
    stack.start("worker", "fast")
    told: list[dict[str, Any]] = []
    with Connection(stack.environment["BROKER_URL"]) as broker:
        receiver = EventReceiver(broker, {"*": told.append}, app=app)
        with receiver.consumer_context(wakeup=False) as (connection, _, _):
            job = stack.submit("trials.echo", value="x")

            def ended() -> bool:
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=1)
                seen = {event["type"] for event in told if event.get("uuid") == job.id}
                return seen >= {"task-received", "task-started", "task-succeeded"}

            until(ended)

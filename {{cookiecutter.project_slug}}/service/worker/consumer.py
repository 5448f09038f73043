"""The worker's consumer: what arrives and is no job is kept for people to look at, and ends nothing."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from celery.worker.consumer import Consumer
from pydantic_core import to_json

from service import refused
from service.broker.patches import MAX_ELEMENT, MAX_TEXT
from service.jobs import casualties

log = structlog.get_logger()

# Of the headers, what a doorbell has; and what no call has: limits are its queue's, names of its own choice would be
# counted in memory for ever, and nothing of this service is stamped.
DOORBELL, UNHEEDED = {"task", "id", "eta", "durable", "ignore_result"}, {"timelimit", "shadow", "stamped_headers"}

# What may follow the arguments of a call.
AFTER = {"callbacks", "errbacks", "chain", "chord"}


class JobConsumer(Consumer):
    """Celery's consumer, which neither swallows a message without a trace nor ends over one."""

    class Blueprint(Consumer.Blueprint):
        """Without what would give RabbitMQ 28 queues for delays: a delayed doorbell has one of its own."""

        default_steps = tuple(step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step)

    def connection_for_read(self, heartbeat: Any = None) -> Any:
        """Kept before the loop is told of it, which a full Redis ends: Celery would leave it open with each try."""
        self.connection = super().connection_for_read(heartbeat)
        return self.connection

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """As Celery's, for whole messages: the others would end the worker, or pass its checks in an older protocol."""
        take = super().create_task_handler(*args, **kwargs)
        return lambda message: take(message) if _whole(message) else self._keep(message, "no task's message")

    def perform_pending_operations(self) -> None:
        """With each turn of a loop that is no hub's."""
        super().perform_pending_operations()
        self.app.turn()

    def on_send_event_buffered(self) -> None:
        """They are sent with the turn of each second, and not each by itself."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body is not what its headers say."""
        self._keep(message, f"not to be decoded: {type(exc).__name__}")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """No task of this version: a job waits for a worker that knows it, as during a rolling deploy."""
        if (about := message.headers).get("durable"):
            self.app.keeper.report(partial(casualties.unknown_here, about["id"], about["task"]), may_drop=True)
            message.ack_log_error(log, self.connection_errors)
        else:
            self._keep(message, "no task of this version")

    def _keep(self, message: Any, reason: str) -> None:
        log.error("message refused", reason=reason)
        kept = (repr(part)[: refused.MAX_KEPT] for part in (message.headers, message.body[: refused.MAX_KEPT]))
        self.app.keeper.report(partial(refused.keep, reason, *kept), may_drop=True)
        message.ack_log_error(log, self.connection_errors)


def _whole(message: Any) -> bool:
    """Whether it is the call of a task; what is left of it is all that Celery's own loop and the child look at."""
    head = message.headers
    if head.get("durable"):
        # A doorbell says that there may be a job, whose row says everything else.
        head = {name: head[name] for name in DOORBELL & head.keys()}
        message.body, message.content_type = b"[[], {}, {}]", "application/json"
    try:
        known: Any = message.content_type == "application/json" and len(message.body) <= MAX_ELEMENT
        # What a task is called with, and what comes after; anything else there would win over the headers.
        args, kwargs, after = known and message.decode()
        shaped = [*map(type, (args, kwargs, after))] == [list, dict, dict] and after.keys() <= AFTER
        # What has too many levels could not be written for the child.
        to_json([head, args, kwargs], bytes_mode="base64", fallback=repr)
        times = [datetime.fromisoformat(head[name]) for name in ("eta", "expires") if head.get(name) is not None]
        named = all(isinstance(head[name], str) and len(head[name]) <= MAX_TEXT for name in ("task", "id"))
        # Celery's own tasks are for results, of which there are none; one renews itself for ever, as retries < 0 do.
        ours = not head["task"].startswith("celery.") and head.get("retries", 0) in range(1000)
    except Exception:
        # Whatever is odd enough to raise here would raise there.
        return False
    message.headers = {name: head[name] for name in head.keys() - UNHEEDED}
    return shaped and named and ours and all(times)

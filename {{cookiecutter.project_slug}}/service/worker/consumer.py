"""The worker's consumer: what arrives and is no job is kept for people to look at, and ends nothing."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from celery.worker.consumer import Consumer

from service.jobs import casualties
from service.worker.patches import MAX_ELEMENT, MAX_TEXT

log = structlog.get_logger()


class JobConsumer(Consumer):
    """Celery's consumer, which neither swallows a message without a trace nor ends over one."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """As Celery's, for whole messages: the others would end the worker, or pass its checks in an older protocol."""
        take = super().create_task_handler(*args, **kwargs)
        return lambda message: take(message) if _whole(message) else self._keep(message, "no task's message")

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
        kept = (repr(part)[: casualties.MAX_KEPT] for part in (message.headers, message.body[: casualties.MAX_KEPT]))
        self.app.keeper.report(partial(casualties.keep, reason, *kept), may_drop=True)
        message.ack_log_error(log, self.connection_errors)


def _whole(message: Any) -> bool:
    """Whether it is the call of a task, in every part that Celery's own loop looks at."""
    head = message.headers
    try:
        known = message.content_type == "application/json" and len(message.body) <= MAX_ELEMENT
        # What a task is called with, and when.
        shaped = known and [*map(type, message.decode())] == [list, dict, dict]
        times = [datetime.fromisoformat(head[name]) for name in ("eta", "expires") if head.get(name) is not None]
        named = all(isinstance(head[name], str) and len(head[name]) <= MAX_TEXT for name in ("task", "id"))
        # Celery's own tasks are for results, of which there are none; one renews itself for ever, as retries < 0 do.
        ours = not head["task"].startswith("celery.") and head.get("retries", 0) in range(1000)
        soft, hard = head.get("timelimit") or (None, None)
        # Seconds that a clock can count; others end the worker.
        limits = [0 < limit < 1e6 for limit in (soft, hard) if limit is not None]
    except Exception:
        # Whatever is odd enough to raise here would raise there.
        return False
    # Nothing of this service is stamped, and a doorbell has no limits of its own: the task's are what counts.
    odd = head.get("stamped_headers") or (limits and head.get("durable"))
    return shaped and named and ours and not odd and all([*limits, *times])

"""The worker's consumer: what arrives and is no job is kept for people to look at, and ends nothing."""

from functools import partial
from typing import Any

import structlog
from celery.worker.consumer import Consumer

from service.jobs import casualties

log = structlog.get_logger()


class JobConsumer(Consumer):
    """Celery's consumer, which neither swallows a message without a trace nor ends over one."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body is not what its headers say."""
        self._keep(message, f"not to be decoded: {type(exc).__name__}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """It is no message of Celery's."""
        self._keep(message, "no task's message")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """It is a task's message, and broken."""
        self._keep(message, f"a broken message: {type(exc).__name__}")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """No task of this version: a job waits for a worker that knows it, as during a rolling deploy."""
        if (about := message.headers).get("durable"):
            self.app.keeper.report(partial(casualties.unknown_here, about["id"], about["task"]), may_drop=True)
            message.ack_log_error(log, self.connection_errors)
        else:
            self._keep(message, "no task of this version")

    def _keep(self, message: Any, reason: str) -> None:
        log.error("message refused", reason=reason)
        kept = (repr(part)[: casualties.MAX_KEPT] for part in (message.headers, message.body))
        self.app.keeper.report(partial(casualties.keep, reason, *kept), may_drop=True)
        message.ack_log_error(log, self.connection_errors)

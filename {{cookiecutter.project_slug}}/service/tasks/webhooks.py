"""Webhooks: jobs that have ended, told to whoever asked for it."""

import random
from datetime import timedelta

from service.errors import JobNotFound, NoWebhookSecret, Postpone, UpstreamError, UpstreamRefused
from service.jobs.history import record
from service.queues import WEBHOOK_AGE, WEBHOOK_WAITS
from service.webhooks import delivery
from service.worker import FastTask, app


@app.task(base=FastTask, bind=True, max_retries=len(WEBHOOK_WAITS))
def deliver(self: FastTask, message: str) -> str:
    """Post one message; a crash may post it twice, under the same id."""
    try:
        sent, row = delivery.find(message)
    except JobNotFound:
        return "nobody is told: newer messages took its place, or its job was purged"
    tries, by = self.job.row.failures, self.job.row.worker
    # The store's clock: receivers refuse what seems old, and a worker's clock may be wrong.
    present = self.job.row.started_at or self.job.row.created_at
    try:
        said = delivery.attempt(sent, row, self.job.id, present)
    except UpstreamRefused as error:
        delivery.tell(row, "delivery given up", str(error), by)
        raise
    except (UpstreamError, NoWebhookSecret) as error:
        delivery.tell(row, "delivery failed" if tries < len(WEBHOOK_WAITS) else "delivery given up", str(error), by)
        wait: float = WEBHOOK_WAITS[min(tries, len(WEBHOOK_WAITS) - 1)]
        # A little longer each, so that what failed together does not come together.
        wait = max(wait, getattr(error, "retry_after", None) or 0.0) * random.uniform(1, 1.1)  # noqa: S311 - jitter
        raise self.retry(exc=error, countdown=wait) from error
    except Postpone as error:
        if present - self.job.row.created_at < timedelta(seconds=WEBHOOK_AGE):
            raise
        delivery.tell(row, "delivery given up", f"it {error} since a day ago", by)
        raise UpstreamRefused(f"it {error} since a day ago") from error
    with self.job.transaction() as session:
        record(session, row, "delivered", f"{said}, {delivery.name(sent)}", by=by)
    return said

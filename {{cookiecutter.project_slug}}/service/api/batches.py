"""Batches: how many jobs as one stand."""

from service.api.answer import Answer, answer
from service.api.jobs import RETRY_AFTER
from service.jobs.shapes import batches


def show(batch_id: str, client: str | None) -> Answer:
    """Show how many of its jobs stand where."""
    found = batches.get(batch_id.lower(), client)
    return answer(found._asdict(), headers={} if found.ended else {"Retry-After": str(RETRY_AFTER)})


def cancel(batch_id: str, client: str | None, user: str) -> Answer:
    """Cancel what waits; ask what runs to stop."""
    return answer(batches.cancel(batch_id.lower(), by=user, client=client)._asdict())

"""Pipelines: how steps that follow each other stand as one."""

from service.api.answer import Answer, answer
from service.api.jobs import RETRY_AFTER
from service.jobs.shapes import pipelines


def show(pipeline_id: str, client: str | None) -> Answer:
    """Show where each of its steps stands."""
    found = pipelines.get(pipeline_id.lower(), client)
    return answer(found.shown(), headers={} if found.ended else {"Retry-After": str(RETRY_AFTER)})


def cancel(pipeline_id: str, client: str | None, user: str) -> Answer:
    """Cancel the step that waits; ask one that runs to stop."""
    return answer(pipelines.cancel(pipeline_id.lower(), by=user, client=client).shown())


def retry(pipeline_id: str, client: str | None, user: str) -> Answer:
    """Go on from the step that failed or was cancelled."""
    return answer(pipelines.retry(pipeline_id.lower(), by=user, client=client).shown())

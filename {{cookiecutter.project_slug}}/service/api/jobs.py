"""Jobs: what became of accepted work. `client` is whose jobs the caller may see; None means everyone's."""

from service import view
from service.api.answer import Answer, answer, unless_known
from service.jobs import operate, query
from service.jobs.model import ENDED
from service.webhooks import orders

# Seconds after which to ask again.
RETRY_AFTER = 1

Given = str | None


def index(
    client: Given,
    limit: int,
    state: Given = None,
    task: Given = None,
    queue: Given = None,
    batch_id: Given = None,
    cursor: Given = None,
) -> Answer:
    """List jobs, newest first."""
    page = query.page(client, state, limit, cursor, task=task, queue=queue, batch_id=batch_id and batch_id.lower())
    return answer({"jobs": [view.job(row) for row in page.jobs], "next_cursor": page.next_cursor})


def show(job_id: str, client: str | None) -> Answer:
    """Show one job, unless the caller has it as it is."""
    row = query.get(job_id, client)
    return unless_known(view.job(row), {} if row.state in ENDED else {"Retry-After": str(RETRY_AFTER)})


def events(job_id: str, client: str | None) -> Answer:
    """Show a job's history."""
    return answer({"events": [view.event(row) for row in query.events(job_id, client)]})


def cancel(job_id: str, client: str | None, user: str) -> Answer:
    """Cancel what waits; ask what runs to stop."""
    return answer(view.job(operate.cancel(job_id, by=user, client=client)))


def retry(job_id: str, client: str | None, user: str) -> Answer:
    """Queue a failed or cancelled job again."""
    return answer(view.job(operate.retry(job_id, by=user, client=client)))


def retry_all(body: dict[str, str], user: str) -> Answer:
    """Queue the dead letters of one task and error again."""
    return answer({"retried": operate.retry_all(body["task"], body["error"], by=user)})


def stack(job_id: str, user: str) -> Answer:
    """Ask where a running job is."""
    return answer(view.job(operate.ask_stack(job_id, by=user, client=None)))


def redeliver(job_id: str, client: str | None, user: str) -> Answer:
    """Post an ended job to its callback_url again."""
    return answer(view.job(orders.redeliver(job_id, by=user, client=client)))


def discard(job_id: str, client: str | None, user: str) -> Answer:
    """Make a failed job cancelled."""
    return answer(view.job(operate.discard(job_id, by=user, client=client)))


def move(job_id: str, body: dict[str, str], client: str | None, user: str) -> Answer:
    """Let a waiting job run on another queue."""
    return answer(view.job(operate.move(job_id, body["queue"], by=user, client=client)))

"""`jobs`: what an operator sees of jobs and does to them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import click

from service import view
from service.cli.output import operator, printable, show
from service.jobs import State, operate, query
from service.webhooks import orders

COLUMNS = ("id", "task", "queue", "state", "attempt", "client", "created_at", "error")
OPERATOR = "operator"


@click.group()
def jobs() -> None:
    """See and mend jobs."""


@jobs.command("list")
@click.option("--state", type=click.Choice([state.value for state in State]))
@click.option("--task")
@click.option("--queue")
@click.option("--client", help="Only this client's jobs.")
@click.option("--batch-id", type=click.UUID, help="Only this batch's jobs.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", type=click.UUID, help="The next_cursor of the page before.")
@operator
def list_(as_json: bool, client: str | None, cursor: UUID | None, batch_id: UUID | None, **filters: Any) -> None:
    """List jobs, newest first; `--state failed` are the dead letters."""
    filters |= {name: str(given) for name, given in (("cursor", cursor), ("batch_id", batch_id)) if given}
    page = query.page(client, **filters)
    rows = [view.job(row) for row in page.jobs]
    lines = [row | {"error": (row["error"] or {}).get("type")} for row in rows]
    show({"jobs": rows, "next_cursor": page.next_cursor} if as_json else lines, as_json, COLUMNS)
    if page.next_cursor and not as_json:
        click.echo(f"more: --cursor {page.next_cursor}")


@jobs.command("show")
@click.argument("job_id", type=click.UUID)
@operator
def show_(job_id: UUID, as_json: bool) -> None:
    """Show one job: its arguments, its error, and all that happened to it."""
    details = view.details(query.get(str(job_id), None))
    events = [view.event(event) for event in query.events(str(job_id), None)]
    if as_json:
        show(details | {"events": events}, as_json)
        return
    traceback = details.pop("traceback")
    show(details, as_json)
    click.echo()
    show(events, as_json, ("at", "attempt", "event", "message", "by"))
    if traceback:
        click.echo("\n" + "\n".join(map(printable, traceback.rstrip().splitlines())))


def _act(name: str, act: Callable[..., Any], help_: str) -> None:
    @jobs.command(name, help=help_)
    @click.argument("job_id", type=click.UUID)
    @operator
    def command(job_id: UUID, as_json: bool) -> None:
        row = act(str(job_id), by=OPERATOR, client=None)
        show(view.job(row) if as_json else {"id": row.id, "state": row.state.value}, as_json)


_act("retry", operate.retry, "Queue a failed or cancelled job again, its budgets whole.")
_act("redeliver", orders.redeliver, "Post an ended job to its callback_url again.")
_act("cancel", operate.cancel, "Cancel what waits; ask what runs to stop.")
_act("stack", operate.ask_stack, "Ask where a running job is: `jobs show` has it after a heartbeat.")
_act("discard", operate.discard, "Take a failed job out of the dead letters.")


@jobs.command()
@click.argument("job_id", type=click.UUID)
@click.argument("queue")
@operator
def move(job_id: UUID, queue: str, as_json: bool) -> None:
    """Let a waiting job run on another queue."""
    row = operate.move(str(job_id), queue, by=OPERATOR, client=None)
    show(view.job(row) if as_json else {"id": row.id, "queue": row.queue}, as_json)


@jobs.command("retry-all")
@click.argument("task")
@click.argument("error")
@operator
def retry_all(task: str, error: str, as_json: bool) -> None:
    """Queue the failed jobs of a task that failed with this type of error again, 1,000 at a time."""
    show({"retried": operate.retry_all(task, error, by=OPERATOR)}, as_json)


@jobs.command()
@click.option("--older-than-days", type=click.FloatRange(1), help="Instead of JOB_RETENTION_DAYS; keys keep a day.")
@operator
def purge(older_than_days: float | None, as_json: bool) -> None:
    """Delete jobs that ended long ago."""
    from service.config import settings

    days = settings().job_retention_days if older_than_days is None else older_than_days
    show({"deleted": operate.purge(days)[0]}, as_json)

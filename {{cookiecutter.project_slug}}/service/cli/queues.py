"""`queues`: what waits where, and whether it may run."""

import click

from service import view
from service.cli.jobs import OPERATOR
from service.cli.output import as_json, operator, show
from service.jobs import operate, query

COLUMNS = ("name", "depth", "running", "dead_letters", "oldest_seconds", "paused", "workers")


@click.group()
def queues() -> None:
    """See and pause queues."""


@queues.command("list")
@as_json
@operator
def list_(as_json: bool) -> None:
    """List queues with what waits, what runs and who works."""
    seen = view.queues(query.queues(), query.alive("beat"))
    rows = [row | {"workers": len(row["workers"])} for row in seen["queues"]]
    show(seen if as_json else rows, as_json, COLUMNS)


@queues.command()
@click.argument("queue")
@as_json
@operator
def pause(queue: str, as_json: bool) -> None:
    """Let the queue's jobs wait; those that run go on."""
    operate.pause(queue, by=OPERATOR)
    show({"name": queue, "paused": True}, as_json)


@queues.command()
@click.argument("queue")
@as_json
@operator
def resume(queue: str, as_json: bool) -> None:
    """Let them run again."""
    operate.resume(queue)
    show({"name": queue, "paused": False}, as_json)

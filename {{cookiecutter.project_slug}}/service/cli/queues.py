"""`queues`: what waits where, and whether it may run."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from service import view
from service.cli.jobs import OPERATOR
from service.cli.output import operator, show
from service.jobs import operate, query

COLUMNS = ("name", "depth", "running", "dead_letters", "oldest_seconds", "paused", "workers")


@click.group()
def queues() -> None:
    """See and pause queues."""


@queues.command("list")
@operator
def list_(as_json: bool) -> None:
    """List queues with what waits, what runs and who works."""
    seen = view.queues(query.queues(), query.alive("beat"))
    show(seen if as_json else [_line(row) for row in seen["queues"]], as_json, COLUMNS)


def _act(name: str, act: Callable[[str], None], help_: str) -> None:
    @queues.command(name, help=help_)
    @click.argument("queue")
    @operator
    def command(queue: str, as_json: bool) -> None:
        act(queue)
        (row,) = (view.queue(status) for status in query.queues() if status.name == queue)
        show({"name": queue, "paused": row["paused"]} if as_json else _line(row), as_json)


_act("pause", partial(operate.pause, by=OPERATOR), "Let the queue's jobs wait; those that run go on.")
_act("resume", operate.resume, "Let them run again.")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """A queue for people, who should not have to ask who paused it, or to notice a nought."""
    paused = f"by {row['paused_by']} since {row['paused_at']}" if row["paused"] else "no"
    return {name: row[name] for name in COLUMNS} | {"paused": paused, "workers": len(row["workers"]) or "none alive"}

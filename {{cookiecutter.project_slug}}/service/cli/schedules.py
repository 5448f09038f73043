"""`schedules`: what is due by the clock, whether it may, and a run at once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from service import view
from service.cli.jobs import OPERATOR
from service.cli.output import operator, show
from service.jobs.shapes import schedules as store

COLUMNS = ("name", "task", "when", "paused", "next_at", "last_at", "missed")


@click.group()
def schedules() -> None:
    """See, pause and fire what is due by the clock."""


@schedules.command("list")
@operator
def list_(as_json: bool) -> None:
    """List schedules with their next run, their last one, and how many were missed."""
    seen = [view.schedule(each) for each in store.statuses()]
    show({"schedules": seen} if as_json else [_line(each) for each in seen], as_json, COLUMNS)


@schedules.command()
@click.argument("name")
@operator
def fire(name: str, as_json: bool) -> None:
    """Submit a run now, also of one that is paused."""
    show(view.job(store.fire(name, by=OPERATOR)), as_json)


def _act(command: str, act: Callable[[str], None], help_: str) -> None:
    @schedules.command(command, help=help_)
    @click.argument("name")
    @operator
    def switch(name: str, as_json: bool) -> None:
        act(name)
        seen = view.schedule(store.status(name))
        show(seen if as_json else _line(seen), as_json)


_act("pause", partial(store.pause, by=OPERATOR), "Submit no more runs of it.")
_act("resume", partial(store.resume, by=OPERATOR), "Submit its runs again, from its next time on.")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """A schedule for people, who should not have to ask who paused it, or to compare times."""
    when = f"{row['cron']} {row['timezone']}"
    paused = f"by {row['paused_by']} since {row['paused_at']}" if row["paused"] else "no"
    following = f"{row['next_at']}{' (late)' if row['late'] else ''}" if row["next_at"] else None
    return {name: row.get(name) for name in COLUMNS} | {"when": when, "paused": paused, "next_at": following}

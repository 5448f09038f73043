"""`tasks`: what the service can do, and doing it from the shell."""

import json
import time
from typing import Any

import click

from service import view
from service.cli.jobs import OPERATOR
from service.cli.output import Refused, operator, show
from service.jobs import Job, State, catalogue, query, submit
from service.jobs.model import ENDED

COLUMNS = ("name", "queue", "soft_limit", "hard_limit", "max_retries")


@click.group()
def tasks() -> None:
    """See and run tasks."""


@tasks.command("list")
@operator
def list_(as_json: bool) -> None:
    """List what workers have announced."""
    rows = [view.task(entry) for entry in catalogue.entries()]
    show({"tasks": rows} if as_json else rows, as_json, COLUMNS)


@tasks.command()
@click.argument("name")
@click.argument("arguments", metavar="JSON", default="{}")
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 unless the job succeeded.")
@click.option("--timeout", type=click.FloatRange(0), default=600.0, show_default=True, help="Seconds to wait at most.")
@click.option("--unique-key", help="If a job of yours with this key waits or runs, give that one.")
@click.option("--lock-key", help="Run while no other job with this key runs, in order.")
@operator
def run(name: str, arguments: str, wait: bool, timeout: float, as_json: bool, **keys: Any) -> None:
    """Submit a durable job: tasks run reports.export '{"title": "Q3", "rows": 1000}'."""
    row = submit(name, _object(arguments), client=OPERATOR, **keys)
    if wait:
        row = _await(row.id, timeout)
    show(view.job(row) if as_json or wait else {"id": row.id, "state": row.state.value}, as_json)
    if wait and row.state is not State.SUCCEEDED:
        raise Refused(f"expected job {row.id} to succeed, got: {row.state.value}; `jobs show {row.id}` tells why")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"expected a JSON object, got: {error}", param_hint="JSON") from error
    if not isinstance(value, dict):
        raise click.BadParameter(f"expected a JSON object, got: {type(value).__name__}", param_hint="JSON")
    return value


def _await(job_id: str, timeout: float) -> Job:
    deadline = time.monotonic() + timeout
    while (row := query.get(job_id, None)).state not in ENDED:
        if time.monotonic() > deadline:
            raise Refused(f"expected job {job_id} to end within {timeout:g} s, got: {row.state.value}; it goes on")
        time.sleep(0.2)
    return row

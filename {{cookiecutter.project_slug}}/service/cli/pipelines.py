"""`pipelines`: what an operator sees of steps that follow each other, and does to them."""

from collections.abc import Callable

import click

from service.cli.jobs import OPERATOR
from service.cli.output import operator, show
from service.jobs.shapes import pipelines as store

COLUMNS = ("id", "task", "queue", "state", "attempt", "error")


@click.group()
def pipelines() -> None:
    """See and mend pipelines; the id of any of its steps is a pipeline's."""


@pipelines.command("show")
@click.argument("pipeline_id", type=click.UUID)
@operator
def show_(pipeline_id: object, as_json: bool) -> None:
    """Show where each step of a pipeline stands."""
    found = store.get(f"{pipeline_id}").shown()
    if as_json:
        show(found, as_json)
        return
    steps = found.pop("steps")
    show(found, as_json)
    click.echo()
    show(steps, as_json, COLUMNS)


def _act(name: str, act: Callable[..., store.Pipeline], help_: str) -> None:
    @pipelines.command(name, help=help_)
    @click.argument("pipeline_id", type=click.UUID)
    @operator
    def command(pipeline_id: object, as_json: bool) -> None:
        found = act(f"{pipeline_id}", by=OPERATOR, client=None)
        show(found.shown() if as_json else {"id": found.id, "state": found.state}, as_json)


_act("cancel", store.cancel, "Cancel the step that waits; ask one that runs to stop; none follows.")
_act("retry", store.retry, "Go on from the step that failed or was cancelled, its budgets whole.")

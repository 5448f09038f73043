"""`batches`: what an operator sees of many jobs as one."""

import click

from service.cli.output import operator, show
from service.jobs.shapes import batches as store


@click.group()
def batches() -> None:
    """See batches."""


@batches.command("show")
@click.argument("batch_id", type=click.UUID)
@operator
def show_(batch_id: object, as_json: bool) -> None:
    """Show how many of a batch's jobs stand where, and the job that follows."""
    show(store.get(f"{batch_id}")._asdict(), as_json)

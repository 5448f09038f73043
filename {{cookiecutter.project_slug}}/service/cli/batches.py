"""`batches`: what an operator sees of many jobs as one."""

import click

from service.cli.jobs import OPERATOR
from service.cli.output import operator, show
from service.jobs.shapes import batches as store


@click.group()
def batches() -> None:
    """See and cancel batches."""


@batches.command("show")
@click.argument("batch_id", type=click.UUID)
@operator
def show_(batch_id: object, as_json: bool) -> None:
    """Show how many of a batch's jobs stand where, and the job that follows."""
    show(store.get(f"{batch_id}")._asdict(), as_json)


@batches.command()
@click.argument("batch_id", type=click.UUID)
@operator
def cancel(batch_id: object, as_json: bool) -> None:
    """Cancel what waits of a batch, and ask what runs to stop."""
    show(store.cancel(f"{batch_id}", by=OPERATOR, client=None)._asdict(), as_json)

"""Canaries: one job of each queue that does nothing, which a deploy waits for before it calls itself done."""

from service.worker import app
from service.worker.task import DurableTask


def sing() -> None:
    """Show that this queue's jobs are taken and done."""


for base in DurableTask.__subclasses__():
    app.task(base=base, name=f"canary.{base.kind}")(sing)

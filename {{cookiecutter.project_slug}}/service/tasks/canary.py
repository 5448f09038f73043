"""Canaries: one job of each queue that does nothing, which a deploy waits for before it calls itself done."""

from service.worker import FastTask, SlowTask, app


@app.task(base=FastTask)
def fast() -> None:
    """Show that this queue's jobs are taken and done."""


@app.task(base=SlowTask)
def slow() -> None:
    """Show that this queue's jobs are taken and done."""

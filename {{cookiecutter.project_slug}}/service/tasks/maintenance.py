"""The service's own upkeep; beat submits it (see SCHEDULE in `queues.py`)."""

from service.config import settings
from service.jobs import operate, processes
from service.worker import FastTask, app


@app.task(base=FastTask)
def purge() -> dict[str, int]:
    """Delete what ended longer ago than JOB_RETENTION_DAYS, and the rows of processes long gone."""
    processes.forget_dead()
    return {"jobs": operate.purge(settings().job_retention_days)}

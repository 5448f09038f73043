"""The service's own upkeep; beat submits it (see SCHEDULE in `queues.py`)."""

from service.config import settings
from service.jobs import operate, processes
from service.outbound import hosts
from service.worker import FastTask, app


@app.task(base=FastTask)
def purge() -> dict[str, int]:
    """Delete what ended longer ago than JOB_RETENTION_DAYS, and what is known of processes and hosts long gone."""
    processes.forget_dead()
    hosts.forget_idle()
    return {"jobs": operate.purge(settings().job_retention_days)}

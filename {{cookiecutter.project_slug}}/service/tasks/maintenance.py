"""The service's own upkeep; beat submits it (see SCHEDULE in `queues.py`)."""

from service.config import settings
from service.jobs import operate, processes
from service.outbound import hosts
from service.worker import FastTask, app

# Seconds that one job spends on deleting; what is left then is the next one's.
PURGE_SECONDS = 10.0


@app.task(base=FastTask, bind=True)
def purge(self: FastTask) -> dict[str, int]:
    """Delete what ended longer ago than JOB_RETENTION_DAYS, and what is known of processes and hosts long gone."""
    processes.forget_dead()
    hosts.forget_idle()
    deleted, all_of_it = operate.purge(settings().job_retention_days, seconds=PURGE_SECONDS)
    if not all_of_it:
        self.job.submit("maintenance.purge", {})
    return {"jobs": deleted}

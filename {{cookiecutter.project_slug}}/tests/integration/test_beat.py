"""Beat: each run is one job, however many submit it."""

from celery.schedules import crontab

from service.beat import JobScheduler
from service.worker import app
from tests.support.stack import Stack


def test_one_run_submitted_twice_is_one_job_that_expires_with_the_next_run(stack: Stack) -> None:
    app.conf.beat_schedule = {
        "every-hour": {"task": "trials.echo", "schedule": crontab(minute=0), "kwargs": {"value": ""}}
    }
    scheduler = JobScheduler(app=app, lazy=True)
    scheduler.setup_schedule()
    entry = scheduler.schedule["every-hour"]
    scheduler.apply_async(entry, advance=False)
    scheduler.apply_async(entry, advance=False)
    (job,) = stack.jobs("trials.echo")
    assert (job.client, job.queue) == ("beat", "fast")
    assert job.expires_at is not None
    assert 0 < (job.expires_at - job.created_at).total_seconds() <= 3600

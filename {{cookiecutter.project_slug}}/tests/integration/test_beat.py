"""Beat: one of any number submits, and each run is one job."""

import signal

import pytest
from celery.schedules import crontab

from service import database
from service.jobs.model import Lease
from service.worker import app
from service.worker.beat import JobScheduler
from tests.support.stack import Stack, until


def holder() -> str:
    """Who has beat's lease."""
    with database.standalone() as session:
        lease = session.get(Lease, "beat")
        assert lease is not None
        return lease.holder


@pytest.mark.fault("L10", "periodic work stops with the beat, or runs twice with two (measured: 12 instead of 6)")
def test_a_second_beat_waits_and_takes_over_when_the_first_is_gone(stack: Stack) -> None:
    first = stack.start("beat")
    until(lambda: f":{first.pid}:" in holder())
    second = stack.start("beat")
    until(lambda: (stack.directory / "beat.heartbeat").exists())
    assert f":{first.pid}:" in holder()
    first.signal(signal.SIGKILL)
    until(lambda: f":{second.pid}:" in holder(), seconds=40)
    assert second.stop() == 0


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

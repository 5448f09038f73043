"""Beat: submits periodic jobs when they are due. Any number may run; one holds the lease and the others wait."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from celery.apps.beat import Beat
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import crontab
from sqlalchemy.exc import SQLAlchemyError

from service import database
from service.config import settings
from service.jobs import catalogue, processes, submit
from service.jobs.keeper import Keeper
from service.observe import metrics
from service.queues import SCHEDULE
from service.worker.app import app, configure, entries
from service.worker.process import STUCK_SECONDS

log = structlog.get_logger()


def tick_seconds() -> float:
    """Seconds between two looks at the clock and the lease, which must not run out between them."""
    return 2 * settings().sweep_seconds


def clock() -> datetime:
    """The store's clock: this process's own, corrected by what they differed when they were last compared."""
    return datetime.now(UTC) + JobScheduler.behind


class JobScheduler(Scheduler):
    """Celery's scheduler, which submits durable jobs: a run is a job with the run's own key, so two make one."""

    # When this process's beat, of which there is one, last looked at the clock; and how far that is behind the store's.
    ticked_at = 0.0
    behind = timedelta(0)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Submit what is due, if this beat has the lease; gives the seconds until the next look."""
        JobScheduler.ticked_at = time.monotonic()
        try:
            if not processes.hold("beat", app.keeper.process):
                return tick_seconds()
            JobScheduler.behind = database.present() - datetime.now(UTC)
        except SQLAlchemyError as error:
            log.warning("store unreachable, the schedule waits", error=type(error).__name__)
            return tick_seconds()
        return min(tick_seconds(), float(super().tick(*args, **kwargs)))

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> None:
        """Submit one run; it expires when the next one is due, so that an outage piles nothing up."""
        present = clock()
        key, until = f"{entry.name}@{present:%Y-%m-%dT%H:%MZ}", present + entry.schedule.remaining_estimate(present)
        row = submit(entry.task, entry.kwargs or {}, client="beat", idempotency_key=key, expires_at=until)
        if advance:
            self.reserve(entry)
        metrics.count("schedule.submitted", entry=entry.name)
        log.info("periodic job submitted", entry=entry.name, job_id=row.id)


def _alive() -> bool:
    """Whether beat's loop turns."""
    return time.monotonic() - JobScheduler.ticked_at < tick_seconds() + STUCK_SECONDS


def run() -> int:
    """Submit periodic jobs until SIGTERM; gives the exit code."""
    configure(settings())
    catalogue.announce(entries())
    # The schedule begins now, by this clock.
    JobScheduler.ticked_at, JobScheduler.behind = time.monotonic(), database.present() - datetime.now(UTC)
    for name, (task, line) in SCHEDULE.items():
        schedule = crontab.from_string(line)
        schedule.nowfun = clock
        app.conf.beat_schedule[name] = {"task": task, "schedule": schedule}
    beat = Beat(app=app, scheduler=JobScheduler, max_interval=tick_seconds(), loglevel=settings().log_level, quiet=True)
    app.keeper = Keeper("beat", None, alive=_alive)
    app.keeper.start()
    try:
        beat.run()
    finally:
        app.keeper.stop()
    return 0

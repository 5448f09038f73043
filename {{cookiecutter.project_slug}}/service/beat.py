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
from service.worker import announce
from service.worker.app import app, configure, load_tasks
from service.worker.process import STUCK_SECONDS

log = structlog.get_logger()


def tick_seconds() -> float:
    """Seconds between two looks at the clock and the lease, which must not run out between them."""
    return 2 * settings().sweep_seconds


class StoreClock:
    """The store's clock: this process's own, corrected by what they differed when they were last compared."""

    def __init__(self) -> None:
        self._differ = timedelta(0)

    def compare(self) -> None:
        """Look at both.

        Raises:
            SQLAlchemyError: the store is away.
        """
        self._differ = database.present() - datetime.now(UTC)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._differ


clock = StoreClock()


class JobScheduler(Scheduler):
    """Celery's scheduler, which submits durable jobs: a run is a job with the run's own key, so two make one."""

    # When this process's beat, of which there is one, last looked at the clock.
    ticked_at = 0.0

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Submit what is due, if this beat has the lease; gives the seconds until the next look."""
        JobScheduler.ticked_at = time.monotonic()
        try:
            if not processes.hold("beat", app.keeper.process):
                return tick_seconds()
            clock.compare()
        except SQLAlchemyError as error:
            log.warning("store unreachable, the schedule waits", error=type(error).__name__)
            return tick_seconds()
        return min(tick_seconds(), float(super().tick(*args, **kwargs)))

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> None:
        """Submit one run; it expires when the next one is due, so that an outage piles nothing up."""
        present = clock()
        row = submit(
            entry.task,
            entry.kwargs or {},
            client="beat",
            idempotency_key=f"{entry.name}@{present:%Y-%m-%dT%H:%MZ}",
            expires_at=present + entry.schedule.remaining_estimate(present),
        )
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
    catalogue.announce(announce.entries(load_tasks()))
    # The schedule begins now, by this clock.
    clock.compare()
    schedules = {name: crontab.from_string(line) for name, (_, line) in SCHEDULE.items()}
    for schedule in schedules.values():
        schedule.nowfun = clock
    app.conf.beat_schedule = {name: {"task": task, "schedule": schedules[name]} for name, (task, _) in SCHEDULE.items()}
    JobScheduler.ticked_at = time.monotonic()
    app.keeper = Keeper("beat", None, alive=_alive)
    app.keeper.start()
    try:
        Beat(
            app=app, scheduler=JobScheduler, max_interval=tick_seconds(), loglevel=settings().log_level, quiet=True
        ).run()
    finally:
        app.keeper.stop()
    return 0

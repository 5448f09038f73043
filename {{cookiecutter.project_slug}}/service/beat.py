"""Beat: submits periodic jobs when they are due. Any number may run; one holds the lease and the others wait."""

from datetime import UTC, datetime
from typing import Any

import structlog
from celery.apps.beat import Beat
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import crontab
from sqlalchemy.exc import SQLAlchemyError

from service.config import settings
from service.jobs import catalogue, processes, submit
from service.jobs.keeper import Keeper
from service.queues import SCHEDULE
from service.worker import announce
from service.worker.app import app, configure, load_tasks

log = structlog.get_logger()


def tick_seconds() -> float:
    """Seconds between two looks at the clock and the lease, which must not run out between them."""
    return 2 * settings().sweep_seconds


class JobScheduler(Scheduler):
    """Celery's scheduler, which submits durable jobs: a run is a job with the run's own key, so two make one."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Submit what is due, if this beat has the lease; gives the seconds until the next look."""
        try:
            if not processes.hold("beat", app.keeper.process):
                return tick_seconds()
        except SQLAlchemyError as error:
            log.warning("store unreachable, the schedule waits", error=type(error).__name__)
            return tick_seconds()
        return min(tick_seconds(), float(super().tick(*args, **kwargs)))

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> None:
        """Submit one run; it expires when the next one is due, so that an outage piles nothing up."""
        due = datetime.now(UTC).replace(second=0, microsecond=0)
        row = submit(
            entry.task,
            entry.kwargs or {},
            client="beat",
            idempotency_key=f"{entry.name}@{due:%Y-%m-%dT%H:%MZ}",
            expires_at=datetime.now(UTC) + entry.schedule.remaining_estimate(datetime.now(UTC)),
        )
        if advance:
            self.reserve(entry)
        log.info("periodic job submitted", entry=entry.name, job_id=row.id)

    @property
    def info(self) -> str:
        """What beat's banner says of the schedule."""
        return f"    . entries -> {', '.join(SCHEDULE)}"


def run() -> int:
    """Submit periodic jobs until SIGTERM; gives the exit code."""
    configure(settings())
    catalogue.announce(announce.entries(load_tasks()))
    app.conf.beat_schedule = {
        name: {"task": task, "schedule": crontab.from_string(line)} for name, (task, line) in SCHEDULE.items()
    }
    app.keeper = Keeper("beat", None)
    app.keeper.start()
    try:
        Beat(app=app, scheduler=JobScheduler, max_interval=tick_seconds(), loglevel=settings().log_level).run()
    finally:
        app.keeper.stop()
    return 0

"""Beat: does what is due by the clock. Any number may run; one holds the lease and the others wait."""

import pkgutil
import signal
import sys
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.config import settings
from service.database import now
from service.jobs import catalogue, processes
from service.jobs.keeper import Keeper
from service.worker.app import configure, entries
from service.worker.process import STUCK_SECONDS

log = structlog.get_logger()

# What the one that has the lease does with each look at the store's clock, of which it gives the seconds until the next
# that it needs. Named, since it may be deleted: a beat with nothing to do reconciles, as a worker does.
DUTIES: list[str] = ["service.jobs.shapes.schedules:submit_due"]

# When this process last looked at the clock.
_ticked_at = 0.0


def tick_seconds() -> float:
    """Seconds between two looks at the clock and the lease, which must not run out between them."""
    return 2 * settings().sweep_seconds


def tick(process: str) -> float:
    """Do what is due, if this beat has the lease; gives the seconds until the next look."""
    global _ticked_at
    _ticked_at = time.monotonic()
    try:
        held = processes.hold("beat", process, now())
        waits = [pkgutil.resolve_name(duty)(held[1]) for duty in DUTIES if held is not None]
    except SQLAlchemyError as error:
        log.warning("store unreachable, the schedule waits", error=type(error).__name__)
        waits = []
    return float(min([tick_seconds(), *waits]))


def run() -> int:
    """Keep the schedule until SIGTERM; gives the exit code."""
    global _ticked_at
    configure(settings())
    catalogue.announce(entries())
    _ticked_at = time.monotonic()
    keeper = Keeper("beat", None, alive=lambda: time.monotonic() - _ticked_at < tick_seconds() + STUCK_SECONDS)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: sys.exit(0))
    keeper.start()
    log.info("beat ready")
    try:
        while True:
            time.sleep(max(0.0, tick(keeper.process)))
    finally:
        keeper.stop()

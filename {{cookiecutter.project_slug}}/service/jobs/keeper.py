"""The thread beside a worker's or beat's own loop: it says that the process lives, and reconciles while it leads."""

import math
import queue
import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.config import settings
from service.database import AWAY, fork_gate
from service.jobs import processes, reconcile
from service.jobs.doorbell import Bell

log = structlog.get_logger()

# Seconds between two looks at whether there is something to do.
TICK_SECONDS = 0.25

# Seconds of a turn for what was reported, of which a flood must not silence the heartbeat; and how many reports may
# wait before those are dropped that can be spared.
REPORT_SECONDS, MAX_REPORTS = 1.0, 1000


class Keeper(threading.Thread):
    """Keeps one process's row and file fresh, carries out what its main loop reports, and reconciles in turn.

    `alive` says whether the main loop moves: when it does not, nothing is written, and the platform and the other
    workers draw their conclusions. `tend` is called several times a second, and `on_asked` with each heartbeat
    while a job of this process is asked to stop, or where it is.
    """

    def __init__(
        self,
        role: str,
        queue_name: str | None,
        *,
        alive: Callable[[], bool] = lambda: True,
        tend: Callable[[], None] = lambda: None,
        on_asked: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="keeper", daemon=True)
        self.process = processes.name(role, queue_name)
        self.file = settings().state_dir / f"{self.process.partition('@')[0]}.heartbeat"
        self._role, self._queue = role, queue_name
        self._alive, self._tend, self._on_asked = alive, tend, on_asked
        self._reports: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._ended, self._bell, self._leads = threading.Event(), Bell(), False
        # Since when the store has answered without a gap; before one whole heartbeat limit nobody is presumed dead.
        self._store_since = self._store_seen = time.monotonic()
        self._next_beat = self._next_sweep = time.monotonic()

    def report(self, act: Callable[[], object], *, may_drop: bool = False) -> None:
        """Do this to the store soon, and again while the store is away; never blocks."""
        if not may_drop or self._reports.qsize() < MAX_REPORTS:
            self._reports.put(act)

    def beat(self) -> None:
        """One heartbeat.

        Raises:
            SQLAlchemyError: the store is away.
        """
        pulse = processes.pulse(self.process, self._role, self._queue)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()
        self._leads = self._leads or pulse.leaderless
        if pulse.asked:
            self._on_asked()

    def run(self) -> None:
        """Until `stop`: whatever happens, this thread goes on."""
        while not self._ended.wait(TICK_SECONDS):
            try:
                with fork_gate:
                    self._turn()
            except Exception as error:
                # Nearly always the store is away; without this thread nobody would know that the process lives.
                log.warning("keeper failed, trying again", error=type(error).__name__)
                self._store_since = time.monotonic()
                self._ended.wait(1.0)

    def stop(self) -> None:
        """Do what was reported and end; the process's row and file go with it."""
        self._ended.set()
        self.join()
        try:
            self._do_reports()
            processes.farewell(self.process)
        except SQLAlchemyError as error:
            log.warning("store unreachable, others will notice that this process ended", error=type(error).__name__)
        self.file.unlink(missing_ok=True)

    def _turn(self) -> None:
        self._do_reports(REPORT_SECONDS)
        self._tend()
        if time.monotonic() >= self._next_beat and self._alive():
            self.beat()
            self._store_answered()
            self._next_beat = time.monotonic() + settings().heartbeat_seconds
        if self._leads and time.monotonic() >= self._next_sweep:
            may_bury = time.monotonic() - self._store_since > settings().heartbeat_limit
            self._leads = reconcile.sweep(self.process, self._bell, may_bury=may_bury)
            self._store_answered()
            self._next_sweep = time.monotonic() + settings().sweep_seconds

    def _do_reports(self, seconds: float = math.inf) -> None:
        end = time.monotonic() + seconds
        while not self._reports.empty() and time.monotonic() < end:
            act = self._reports.get()
            try:
                act()
            except AWAY:
                self._reports.put(act)
                raise
            except Exception as error:
                # What the store refuses today it refuses tomorrow, and meanwhile no heartbeat would be written.
                log.exception("report came to nothing", error=type(error).__name__)

    def _store_answered(self) -> None:
        # A gap as long as the limit may have silenced everybody: this process was frozen, or the store was.
        present = time.monotonic()
        if present - self._store_seen > settings().heartbeat_limit:
            self._store_since = present
        self._store_seen = present

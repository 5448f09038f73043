"""The worker's parent process: started from the policy, watched by its keeper, stopped within its grace."""

import os
import signal
import time
from pkgutil import resolve_name
from typing import Any

import structlog
from billiard import pool
from celery import signals
from celery.backends.base import DisabledBackend

from service.broker import patches
from service.config import settings
from service.jobs import casualties, catalogue, processes
from service.jobs.doorbell import broker_queue
from service.jobs.keeper import Keeper
from service.ops import growth
from service.queues import CANCEL_SIGNAL_SECONDS, PLACES, Queue
from service.worker import runner
from service.worker.app import App, configure, entries

log = structlog.get_logger()

# Seconds without a turn of the consumer's loop before it counts as stuck.
STUCK_SECONDS = 30.0

# Seconds after the grace that Celery has to end by itself; the platform gives ten.
EXIT_SECONDS = 5.0


def command_line(name: str, queue: Queue) -> list[str]:
    """Celery's own command line for one queue: nothing about a worker is configured anywhere else."""
    return f"""
        --quiet worker --queues={broker_queue(name).name} --loglevel={settings().log_level}
        --pool={queue.pool} --concurrency={queue.concurrency} --prefetch-multiplier={queue.prefetch} --optimization=fair
        --max-tasks-per-child={queue.max_tasks_per_child} --max-memory-per-child={queue.max_memory_per_child}
        --without-gossip --without-mingle
    """.split()


def run(name: str) -> int:
    """Work on one queue until SIGTERM; gives the exit code."""
    app = configure(settings())
    catalogue.announce(entries())
    queue = settings().queues[name]
    patches.apply()
    # A child that ends waits 30 s for a parent that listens no more; what it has to say is in its job's row already.
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10
    # There are no results to mark; it would run what a message names as its errbacks, in the worker's own loop.
    DisabledBackend.mark_as_failure = lambda *_, **__: None
    worker = Worker(name, queue, app)
    worker.keeper.start()
    try:
        return int(app.worker_main([*command_line(name, queue), f"--hostname={name}@%h"]) or 0)
    finally:
        worker.keeper.stop()


class Worker:
    """What goes on in the parent beside Celery: the keeper, and the end."""

    def __init__(self, name: str, queue: Queue, app: App) -> None:
        self.keeper = Keeper("worker", name, alive=self._alive, tend=self._tend, on_asked=self._obey)
        self._grace = queue.grace
        self._places = resolve_name(PLACES[queue.pool])(queue)
        growth.listen()
        self._consumer: Any = None
        self._turned_at, self._handed_back = time.monotonic(), False
        self._stop_at: float | None = None
        app.keeper, app.turn = self.keeper, self._turn
        runner.worker_name, runner.kind, runner.place = self.keeper.process, name, self._places.here
        signals.worker_ready.connect(self._ready, weak=False)
        signals.worker_shutting_down.connect(self._shutting_down, weak=False)

    def _ready(self, sender: Any, **_: Any) -> None:
        self._consumer = sender
        sender.timer.call_repeatedly(1.0, self._each_second)
        log.info("worker ready", process=self.keeper.process)

    def _turn(self) -> None:
        self._turned_at = time.monotonic()

    def _each_second(self) -> None:
        if self._consumer.hub is not None:
            self._turn()
        # Celery looks for dead children every 5 seconds, where it is not told; a crashed job need not wait so long.
        self._consumer.pool.maintain_pool()
        # What Flower is told of tasks.
        self._consumer._flush_events()

    def _alive(self) -> bool:
        """Whether the consumer's loop turns, or has a good reason not to: it connects again, or stops."""
        connecting = self._consumer is None or self._consumer.connection is None
        return connecting or self._stop_at is not None or time.monotonic() - self._turned_at < STUCK_SECONDS

    def _shutting_down(self, **_: Any) -> None:
        self._stop_at = self._stop_at or time.monotonic() + self._grace
        log.info("worker stopping", grace=self._grace)

    def _tend(self) -> None:
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self._places.kill(casualties.hand_back(self.keeper.process), signal.SIGKILL)
            if self._handed_back:
                # Celery waits for a child that does not end; the platform would not wait for Celery.
                os._exit(1)
            # Only now: while the store is away, the keeper comes back here.
            self._handed_back, self._stop_at = True, time.monotonic() + EXIT_SECONDS

    def _obey(self) -> None:
        """Say where jobs are that somebody asked about, and stop those that were cancelled and do not look.

        First by the soft limit's signal, in the end by a kill.
        """
        processes.answer(self.keeper.process, self._places.stack)
        for pid, seconds in casualties.cancelled_processes(self.keeper.process):
            if seconds >= CANCEL_SIGNAL_SECONDS:
                self._places.kill([pid], signal.SIGKILL if seconds >= 2 * CANCEL_SIGNAL_SECONDS else signal.SIGUSR1)

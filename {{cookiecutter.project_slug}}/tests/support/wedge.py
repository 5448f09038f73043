"""A loop that stands still: once a file is there, a worker's consumer or beat's own loop blocks and never goes on."""

import importlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from celery import signals
from celery.worker.consumer import Consumer

from service.worker import process
from service.worker.consumer import JobConsumer

# As the heartbeat of the tests is shorter than production's.
STUCK_SECONDS = process.STUCK_SECONDS / 3


def follow(file: Path) -> None:
    """Let this process's loop look for the file, several times a second, as long as it turns."""
    process.STUCK_SECONDS = STUCK_SECONDS
    # Only now, since it takes that over.
    from service import beat

    def stand_still() -> None:
        while file.exists():
            time.sleep(1)

    def in_a_worker(sender: Any, **_: Any) -> None:
        if sender.hub is not None:
            sender.hub.timer.call_repeatedly(0.2, stand_still)

    def slow_tick(process: str, tick: Callable[[str], float] = beat.tick) -> float:
        stand_still()
        return tick(process)

    def in_greenlets(consumer: JobConsumer) -> None:
        stand_still()
        Consumer.perform_pending_operations(consumer)
        consumer.app.turn()

    # What a loop without a hub does with each turn.
    JobConsumer.perform_pending_operations = in_greenlets  # type: ignore[method-assign,assignment]
    signals.worker_ready.connect(in_a_worker, weak=False)
    beat.tick = slow_tick


def follow_beat(file: Path, where: str) -> None:
    """Let this process's beat stand still where it has its lease, or in the middle of a run's transaction."""
    # By its name, since it may be deleted.
    schedules = importlib.import_module("service.jobs.shapes.schedules")

    def slow(*given: Any, act: Any = None, **options: Any) -> Any:
        stood = file.exists()
        file.with_name(f"{file.name}.reached").touch()
        while file.exists():
            time.sleep(0.1)
        found = act(*given, **options)
        if stood:
            file.with_name(f"{file.name}.passed").touch()
        return found

    name = {"LEASE": "submit_due", "RUN": "submit"}[where]
    setattr(schedules, name, partial(slow, act=getattr(schedules, name)))

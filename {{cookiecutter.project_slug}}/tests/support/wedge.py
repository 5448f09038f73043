"""A loop that stands still: once a file is there, a worker's consumer or beat's own loop blocks and never goes on."""

import time
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

    def stand_still() -> None:
        while file.exists():
            time.sleep(1)

    def in_a_worker(sender: Any, **_: Any) -> None:
        if sender.hub is not None:
            sender.hub.timer.call_repeatedly(0.2, stand_still)

    def in_a_beat(sender: Any, **_: Any) -> None:
        tick = sender.scheduler.tick

        def slow_tick(*args: Any, **kwargs: Any) -> float:
            stand_still()
            return float(tick(*args, **kwargs))

        sender.scheduler.tick = slow_tick

    def in_greenlets(consumer: JobConsumer) -> None:
        stand_still()
        Consumer.perform_pending_operations(consumer)
        consumer.app.turn()

    # What a loop without a hub does with each turn.
    JobConsumer.perform_pending_operations = in_greenlets  # type: ignore[method-assign,assignment]
    signals.worker_ready.connect(in_a_worker, weak=False)
    signals.beat_init.connect(in_a_beat, weak=False)

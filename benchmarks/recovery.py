"""How fast the service is itself again, with the settings that it is rendered with, on SQLite; runs in its environment.

What a whole worker's death costs is in `killed.py`, and what slow jobs cost fast ones in `fast.py`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from service.jobs import doorbell  # type: ignore[import-not-found]
from tests.support.stack import Stack  # type: ignore[import-not-found]


def main() -> None:
    """Break one thing after the other, and print how long it took."""
    for measure in (killed_child, wiped_broker, poison):
        print(f"  {measure()}", flush=True)


@contextmanager
def stack() -> Iterator[Stack]:
    """A service on stores of its own, with the heartbeat of production."""
    with tempfile.TemporaryDirectory() as name:
        made = Stack(Path(name), HEARTBEAT_SECONDS="10")
        try:
            made.prepare()
            yield made
        finally:
            made.end()


def killed_child() -> str:
    """A task that kills its process, until it runs again; half a second of that is backoff."""
    with stack() as it:
        it.start("worker", "fast")
        waits = []
        for _ in range(5):
            row = it.submit("trials.deadly", times=1)
            it.ended(row.id)
            first, second = it.attempts(row.id)
            waits.append(float(second["at"]) - float(first["at"]))
    return (
        f"{statistics.median(waits):5.1f} s  a killed process's job runs again (promised: within 2 s and 0.5 s backoff)"
    )


def wiped_broker() -> str:
    """FLUSHALL with 1,000 jobs waiting, until all are done, beside the same without it."""

    def work(wipe: bool) -> float:
        with stack() as it:
            rows = [it.submit("trials.echo", value=str(number)) for number in range(1000)]
            doorbell.flush(30)
            if wipe:
                with redis.Redis(port=it.broker.port) as client:
                    client.flushall()
            return timed(lambda: (it.start("worker", "fast"), it.ended(*(row.id for row in rows), seconds=180)))

    undisturbed, wiped = work(wipe=False), work(wipe=True)
    return f"{wiped - undisturbed:5.1f} s  longer with a wiped broker, for 1,000 jobs (promised: 60 s at most)"


def poison() -> str:
    """The same 500 jobs beside a task that kills every process it gets, and without it."""

    def work(deadly: int) -> float:
        with stack() as it:
            it.start("worker", "fast")
            for _ in range(deadly):
                it.submit("trials.deadly")
            rows = [it.submit("trials.echo", value=str(number)) for number in range(500)]
            return timed(lambda: it.ended(*(row.id for row in rows), seconds=180))

    alone, beside = work(0), work(1)
    return f"{alone / beside:5.2f}    of their throughput keep 500 jobs beside a deadly one (promised: 0.5)"


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

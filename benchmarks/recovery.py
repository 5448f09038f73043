"""How fast the service is itself again, with the settings that it is rendered with; runs in its environment."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis  # type: ignore[import-not-found]
from service.jobs import State, doorbell  # type: ignore[import-not-found]
from tests.support.stack import Stack, until  # type: ignore[import-not-found]


def main() -> None:
    """Break one thing after the other, and print how long it took."""
    for measure in (killed_worker, killed_child, wiped_broker, poison, fast_under_slow):
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


def killed_worker() -> str:
    """SIGKILL of a worker's group, until its job runs again on another that was there already."""
    with stack() as it:
        doomed = it.start("worker", "slow")
        row = it.submit("trials.sleep", seconds=60)
        until(lambda: it.attempts(row.id))
        it.start("worker", "slow")
        seconds = timed(lambda: (doomed.kill(), until(lambda: len(it.attempts(row.id)) == 2, seconds=90)))
    return f"{seconds:5.1f} s  a killed worker's job runs again (promised: within 45 s)"


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


def fast_under_slow() -> str:
    """The wait of a fast job with all slow processes busy and 1,000 slow jobs queued, beside an idle service."""

    def waits(slow: int) -> float:
        with stack() as it:
            it.start("worker", "slow", ready=False)
            it.start("worker", "fast")
            rows = [it.submit("trials.sleep", seconds=600) for _ in range(slow)]
            until(lambda: not rows or sum(it.job(row.id).state is State.RUNNING for row in rows[:20]) >= 2, seconds=60)
            taken = []
            for number in range(100):
                (done,) = it.ended(it.submit("trials.echo", value=str(number)).id)
                taken.append((done.started_at - done.created_at).total_seconds())
            return float(statistics.quantiles(taken, n=100)[98])

    idle, busy = waits(0), waits(1000)
    return f"{busy / idle:5.2f}    times the idle 99th percentile is a fast job's wait under slow ones (promised: 1.5)"


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

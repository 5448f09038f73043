"""Submitting many jobs, as a batch and one by one, and noticing its end; runs in the rendered service's environment."""

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog  # type: ignore[import-not-found]

ROUNDS = 5
BATCH = 10_000
SINGLE = 500


def main() -> None:
    """Print the jobs per second of both, and the seconds to what follows; medians of rounds."""
    print(f"  {noticed():5.2f} s  from the last job's end to what follows the batch (promised: within 1 s)", flush=True)
    with tempfile.TemporaryDirectory() as name:
        url = os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{name}/bench.db")
        os.environ.update(ENVIRONMENT="test", DATABASE_URL=url, BROKER_URL="redis://127.0.0.1:1/0", RATE_LIMIT="off")
        measure()


def noticed() -> float:
    """Seconds from the end of a batch's last job to the beginning of the one that follows."""
    from service.jobs.shapes import batches  # type: ignore[import-not-found]
    from tests.support.stack import Stack  # type: ignore[import-not-found]

    gaps = []
    with tempfile.TemporaryDirectory() as name:
        it = Stack(Path(name), os.environ.get("BENCH_DATABASE_URL"), HEARTBEAT_SECONDS="10")
        try:
            it.prepare()
            it.start("worker", "fast")
            for _ in range(ROUNDS + 1):
                batch = batches.submit("trials.echo", [{"value": ""}] * 20, then=("trials.echo", {"value": ""}))
                (follower,) = it.ended(batch)
                gaps.append((follower.started_at - max(row.ended_at for row in batches.results(batch))).total_seconds())
        finally:
            it.end()
    return float(statistics.median(gaps[1:]))


def measure() -> None:
    """Submit by turns, each time to an empty store."""
    # The service is there only where this runs.
    from service import schema  # type: ignore[import-not-found]
    from service.database import engine, transaction  # type: ignore[import-not-found]
    from service.jobs import catalogue, submit  # type: ignore[import-not-found]
    from service.jobs.model import Event, Job  # type: ignore[import-not-found]
    from service.jobs.shapes import batches
    from service.worker.app import entries  # type: ignore[import-not-found]
    from sqlalchemy import delete  # type: ignore[import-not-found]

    # No broker is there to be rung at.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    schema.upgrade()
    catalogue.announce(entries())
    contestants: dict[str, tuple[int, Callable[[], object]]] = {
        f"in a batch of {BATCH:,}": (BATCH, lambda: batches.submit("canary.fast", [{}] * BATCH)),
        "one by one": (SINGLE, lambda: [submit("canary.fast", {}) for _ in range(SINGLE)]),
    }
    rates: dict[str, list[float]] = {what: [] for what in contestants}
    for _ in range(ROUNDS + 1):
        for what, (count, act) in contestants.items():
            began = time.perf_counter()
            act()
            rates[what].append(count / (time.perf_counter() - began))
            with transaction() as session:
                session.execute(delete(Event))
                session.execute(delete(Job))
    print(f"submitting, on {engine().dialect.name}", flush=True)
    # The first round does not count.
    for what, rate in rates.items():
        print(f"{statistics.median(rate[1:]):8,.0f} jobs/s  {what}", flush=True)
    print("  promised of a batch: 5,000 jobs/s on PostgreSQL", flush=True)


if __name__ == "__main__":
    main()

"""Claim, list and look round while many jobs wait; runs in the rendered service's environment, on its own stores."""

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog  # type: ignore[import-not-found]

TASK = "maintenance.purge"
SIZES = (1_000, 10_000, 100_000)
ROUNDS = 30


def main() -> None:
    """Print the median of each statement at each size, and its ratio to the smallest."""
    with tempfile.TemporaryDirectory() as name:
        url = os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{name}/bench.db")
        os.environ.update(ENVIRONMENT="test", DATABASE_URL=url, BROKER_URL="redis://127.0.0.1:1/0", RATE_LIMIT="off")
        from service.api.tokens import mint  # type: ignore[import-not-found]

        os.environ["BENCH_TOKEN"], os.environ["API_TOKENS"] = mint("bench", ("jobs:read",))
        measure()


def measure() -> None:
    """Fill the store step by step, and time what every job meets."""
    # The service is there only where this runs.
    from service import schema  # type: ignore[import-not-found]
    from service.database import engine  # type: ignore[import-not-found]
    from service.jobs import attempts, processes, query  # type: ignore[import-not-found]

    schema.upgrade()

    def claim() -> None:
        # To time one that finds no job would be to time something else.
        if attempts.claim(ids.pop(), TASK, worker="bench", pid=1, queue="fast", hard_limit=60) is None:
            raise SystemExit(f"expected a job of {TASK} to be claimed, got: none; correct what `fill` writes")

    steps: dict[str, Callable[[], object]] = {
        "claim": claim,
        "list": lambda: query.page("bench"),
        "queues": lambda: query.queues(),
        "look round": lambda: processes.lead("bench"),
    }
    ids: list[str] = []
    first: dict[str, float] = {}
    print(f"statements with many waiting jobs, on {engine().dialect.name}", flush=True)
    for size in SIZES:
        ids += fill(size - len(ids))
        taken = {what: median(step) for what, step in steps.items()}
        first = first or taken
        cells = [f"{what} {seconds * 1000:.2f} ms ({seconds / first[what]:.1f}x)" for what, seconds in taken.items()]
        print(f"{size:>8,}  {'   '.join(cells)}", flush=True)
    look()


def look() -> None:
    """Time what an operator and the gauges ask, with as many dead letters and running jobs besides."""
    from service.api.app import create_app  # type: ignore[import-not-found]
    from service.jobs import query
    from service.jobs.model import State  # type: ignore[import-not-found]

    fill(SIZES[-1], State.FAILED)
    fill(SIZES[0], State.RUNNING)
    # Nobody has begun a role here, whose lines would be JSON.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    # Without its lifespan, which the server leaves out as well.
    client = create_app().test_client()
    headers = {"Authorization": f"Bearer {os.environ['BENCH_TOKEN']}"}
    for path in ("/v1/queues", "/metrics"):
        assert client.get(path, headers=headers).status_code == 200
        seconds = median(lambda path=path: client.get(path, headers=headers))  # type: ignore[misc]
        print(f"{seconds * 1000:8.2f} ms  GET {path}", flush=True)
    seconds = median(lambda: (query.queues(), query.alive("beat")))
    print(
        f"{seconds * 1000:8.2f} ms  the gauges, with {SIZES[-1]:,} dead letters besides (promised: under 50 ms)",
        flush=True,
    )


def fill(count: int, state: str = "queued") -> list[str]:
    """Add jobs; gives their ids."""
    from service.database import new_id, transaction
    from service.jobs.model import Job, State
    from sqlalchemy import insert, text  # type: ignore[import-not-found]

    moment = datetime.now(UTC)
    common = {
        "task": TASK, "queue": "fast", "kwargs": {}, "client": "bench", "fingerprint": "", "context": {},
        "state": State(state), "run_at": moment, "rung_at": moment, "created_at": moment,
    }  # fmt: skip
    rows = [common | {"id": new_id()} for _ in range(count)]
    with transaction() as session:
        session.execute(insert(Job), rows)
        # A backlog that grew by itself would have been looked at by autovacuum.
        session.execute(text("ANALYZE"))
    return [row["id"] for row in rows]


def median(step: Callable[[], object]) -> float:
    """The median seconds of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()

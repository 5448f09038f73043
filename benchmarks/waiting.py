"""Jobs that wait a second each on a third party, in greenlets and in processes; runs in the service's environment.

Both take turns; the processes, of which there are two as rendered, have fewer jobs, since they take so much longer.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from service import database  # type: ignore[import-not-found]
from service.jobs.model import ENDED, Job  # type: ignore[import-not-found]
from sqlalchemy import func, select  # type: ignore[import-not-found]
from tests.support.receiver import Receiver  # type: ignore[import-not-found]
from tests.support.stack import Stack, until  # type: ignore[import-not-found]

ROUNDS = 5
GREENLETS = {"QUEUE_SLOW_POOL": "gevent", "QUEUE_SLOW_CONCURRENCY": "500"}


def main() -> None:
    """Print the seconds of each, medians of rounds, from the moment in which the worker is ready."""
    contestants: dict[str, tuple[int, dict[str, str]]] = {
        "500 jobs, one worker of greenlets": (500, GREENLETS),
        "10 jobs, one worker of two processes": (10, {}),
    }
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, (jobs, environment) in contestants.items():
            found[name].append(seconds(jobs, environment))
    for name, taken in found.items():
        print(f"  {statistics.median(taken):5.1f} s  {name}", flush=True)
    print("  promised: 500 in under 10 s", flush=True)


def seconds(jobs: int, environment: dict[str, str]) -> float:
    """One round, on stores of its own."""
    with tempfile.TemporaryDirectory() as name, Receiver(answer=a_second) as party:
        party.listen(jobs)
        it = Stack(Path(name), os.environ.get("BENCH_DATABASE_URL"), HEARTBEAT_SECONDS="10", **environment)
        try:
            it.prepare()
            for _ in range(jobs):
                it.submit("waits.ask", url=party.url)
            it.start("worker", "slow")
            began = time.perf_counter()
            until(lambda: not unended(), seconds=120, every=0.1)
            return time.perf_counter() - began
        finally:
            it.end()


def a_second(_: object) -> tuple[int, dict[str, str]]:
    """What the third party does."""
    time.sleep(1)
    return 204, {}


def unended() -> int:
    """How many jobs there are still to do."""
    with database.standalone() as session:
        return int(session.scalar(select(func.count()).select_from(Job).where(Job.state.not_in(ENDED))))


if __name__ == "__main__":
    main()

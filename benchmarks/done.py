"""Doing: jobs a second that do nothing and waited already when the workers started, and what they cost."""

import time
from typing import Any

from benchmarks.processes import Process, Trouble
from benchmarks.stage import Ready, Stage
from benchmarks.timing import ROUNDS, medians, rounded

JOBS = 10_000

# Seconds for which jobs are counted, after the first so many are done: the start is another measurement.
SECONDS = 3.0
FIRST = 50
START_SECONDS = 60.0

ABOUT = (
    f"{JOBS:,} no-op jobs wait when the workers start; counted for {SECONDS:g} s from when {FIRST} are done; "
    "two processes for jobs each, the rendered service four, as it is rendered"
)


def measure(stage: Stage, rounds: int = ROUNDS, jobs: int = JOBS, seconds: float = SECONDS) -> dict[str, Any]:
    """Jobs a second, CPU milliseconds a job, and MB, of each contestant."""
    filled: dict[str, Ready] = {}
    for name, ready in stage.all().items():
        try:
            ready.empty()
            ready.order("fill", jobs)
            ready.keep()
            filled[name] = ready
        except Trouble as error:
            stage.trouble(name, error)
    found: dict[str, list[dict[str, float]]] = {}
    for round_ in range(rounds):
        print(f"  done: round {round_ + 1} of {rounds}", flush=True)
        for name, ready in filled.items():
            try:
                found.setdefault(name, []).append(work(ready, jobs, seconds))
            except Trouble as error:
                stage.trouble(name, error)
    return {"about": ABOUT, "contestants": {name: rounded(medians(each)) for name, each in found.items() if each}}


def work(ready: Ready, jobs: int, seconds: float) -> dict[str, float]:
    """Let the workers begin on what waits, and count.

    Raises:
        Trouble: they do nothing.
    """
    ready.back()
    workers = ready.workers()
    stores = [ready.stage.redis.process, *([ready.stage.postgresql.process] if ready.contestant.postgresql else [])]
    try:
        workers[0].wait(lambda: counted(ready) >= FIRST, START_SECONDS)
        first, began, before = counted(ready), time.perf_counter(), (spent(workers), spent(stores))
        memory = 0.0
        # Who has nothing left to do is not measured any more.
        while time.perf_counter() < began + seconds and counted(ready) < jobs * 0.9:
            time.sleep(0.2)
            memory = memory or sum(worker.memory() for worker in workers)
        last, ended, after = counted(ready), time.perf_counter(), (spent(workers), spent(stores))
    finally:
        for worker in workers:
            worker.kill()
    did = max(last - first, 1)
    return {
        "jobs_per_second": (last - first) / (ended - began),
        "cpu_ms": (after[0] - before[0]) / did * 1000,
        "stores_cpu_ms": (after[1] - before[1]) / did * 1000,
        "memory_mb": memory,
    }


def counted(ready: Ready) -> int:
    """How many are done, none while nobody has begun."""
    try:
        return ready.done()
    except (KeyError, ValueError):
        return 0


def spent(processes: list[Process]) -> float:
    """Seconds of CPU that processes have taken together."""
    return sum(process.cpu() for process in processes)

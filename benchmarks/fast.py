"""Fast under slow: how long a fast job waits while slow workers are busy and 1,000 slow jobs queue.

The rendered service has a queue and a worker for each kind; stock Celery, as its documentation begins, has one queue.
"""

import statistics
import time
from typing import Any

from benchmarks.processes import Process, Trouble
from benchmarks.stage import Ready, Stage
from benchmarks.timing import ROUNDS

SLOW_JOBS = 1000
FAST_JOBS = 100

# Seconds: between two fast jobs; that a slow job waits; and for which one that never comes is waited for.
PAUSE = 0.02
SLOW_SECONDS = 600.0
STOCK_SECONDS = 1.0
PATIENCE = 15.0

# Tasks that only wait are among those of the rendered service's own tests.
WORKER = "python -m tests.support worker {queue}"

ABOUT = (
    f"milliseconds from accepted to started, 99th percentile of {FAST_JOBS} fast jobs; idle, and with all slow "
    f"processes busy with jobs that wait and {SLOW_JOBS:,} of them queued"
)


def measure(stage: Stage, rounds: int = ROUNDS) -> dict[str, Any]:
    """The waits of both, idle and busy in turns."""
    found: dict[str, Any] = {"about": ABOUT, "contestants": {}}
    for name, how in (("ours", ours), ("stock", shared)):
        try:
            found["contestants"][name] = how(stage, rounds)
        except Trouble as error:
            stage.trouble(name, error)
    return found


def ours(stage: Stage, rounds: int) -> dict[str, float]:
    """Two of the rendered service beside each other, one of which has slow jobs."""
    trials = str(stage.service / "tests" / "support" / "tasks")
    running: list[Process] = []
    both = {"idle": stage.ready("ours", "-idle"), "busy": stage.ready("ours", "-busy")}
    try:
        for ready in both.values():
            ready.empty()
            for queue in ("slow", "fast"):
                running.append(ready.start(WORKER.replace("{queue}", queue), TRIALS=trials))
                running[-1].wait(lambda: "worker ready" in running[-1].log.read_text(), 60)
        both["busy"].order("slow", SLOW_JOBS, SLOW_SECONDS)
        running[-2].wait(lambda: both["busy"].rows("SELECT count(*) FROM jobs WHERE state = 'running'") >= [["2"]])
        waits: dict[str, list[float]] = {name: [] for name in both}
        for round_ in range(rounds + 1):
            print(f"  fast: round {round_ or 'none'} of {rounds}", flush=True)
            for name, ready in both.items():
                waits[name].append(trickled(ready, FAST_JOBS * (round_ + 1)))
    finally:
        for process in running:
            process.kill()
    # The first round warms them.
    idle, busy = (statistics.median(each[1:]) for each in waits.values())
    return {"idle_p99_ms": round(idle, 1), "busy_p99_ms": round(busy, 1), "ratio": round(busy / idle, 2)}


def trickled(ready: Ready, so_far: int) -> float:
    """Order fast jobs one after the other; gives the 99th percentile of their waits, in milliseconds."""
    ready.order("fast", FAST_JOBS, PAUSE)
    ended = f"SELECT count(*) FROM jobs WHERE task = 'trials.echo' AND state = 'succeeded' HAVING count(*) >= {so_far}"
    deadline = time.monotonic() + PATIENCE
    while not ready.rows(ended):
        if time.monotonic() > deadline:
            raise Trouble(f"expected {FAST_JOBS} fast jobs to end within {PATIENCE:g} s, got: fewer")
        time.sleep(0.2)
    wait = "extract(epoch FROM started_at - created_at) * 1000"
    latest = f"FROM jobs WHERE task = 'trials.echo' ORDER BY id DESC LIMIT {FAST_JOBS}"
    return statistics.quantiles([float(row[0]) for row in ready.rows(f"SELECT {wait} {latest}")], n=100)[98]


def shared(stage: Stage, _rounds: int) -> dict[str, float]:
    """Stock Celery, whose fast jobs stand behind the slow ones: idle, and for as long as anybody would wait."""
    ready = stage.ready("stock")
    ready.empty()
    (worker,) = ready.workers()
    try:
        # The first says that it works, and does not count.
        ready.order("fast", 1, 0)
        worker.wait(lambda: heard(ready) == 1, 60)
        stage.redis.ask("DEL", "waits", database=ready.number)
        ready.order("fast", FAST_JOBS, PAUSE)
        worker.wait(lambda: heard(ready) >= FAST_JOBS, PATIENCE)
        waits = [float(each) * 1000 for each in stage.redis.ask("LRANGE", "waits", 0, -1, database=ready.number)]
        ready.order("slow", SLOW_JOBS, STOCK_SECONDS)
        ready.order("fast", 1, 0)
        deadline = time.monotonic() + PATIENCE
        while heard(ready) == FAST_JOBS and time.monotonic() < deadline:
            time.sleep(0.1)
        idle = statistics.quantiles(waits, n=100)[98]
        if heard(ready) == FAST_JOBS:
            return {"idle_p99_ms": round(idle, 1), "not_within_s": PATIENCE}
        (late,) = stage.redis.ask("LINDEX", "waits", -1, database=ready.number)
        return {"idle_p99_ms": round(idle, 1), "busy_p99_ms": round(float(late) * 1000, 1)}
    finally:
        worker.kill()


def heard(ready: Ready) -> int:
    """How many fast jobs of stock Celery began."""
    return int(ready.stage.redis.ask("LLEN", "waits", database=ready.number)[0])

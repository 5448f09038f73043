"""Waiting: what accepting and doing cost the rendered service while 1,000, 10,000 and 100,000 jobs wait."""

from typing import Any

from benchmarks.accept import WARM_SECONDS, drive, serving
from benchmarks.contestant import PATH
from benchmarks.done import work
from benchmarks.processes import Process, Trouble
from benchmarks.stage import Ready, Stage
from benchmarks.timing import ROUNDS, medians, rounded

SIZES = (1_000, 10_000, 100_000)

# Seconds of load, and how many of the jobs are done at each size: as many as the smallest has.
SECONDS = 2.0
DONE = SIZES[0]

ABOUT = (
    f"the rendered service with so many no-op jobs waiting: requests a second to POST {PATH} for {SECONDS:g} s, and "
    f"jobs a second for the first {DONE * 9 // 10:,} of them"
)


def measure(stage: Stage, rounds: int = ROUNDS, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Requests and jobs a second at each size, in turns."""
    filled: dict[int, Ready] = {}
    for size in sizes:
        print(f"  waiting: {size:,} jobs are made", flush=True)
        filled[size] = stage.ready("ours", f"-{size}")
        filled[size].empty()
        filled[size].order("fill", size)
        filled[size].keep()
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for accepted in accepting(filled, rounds):
        for size in filled:
            found[size].append({"requests_per_second": accepted[size]})
    for round_ in range(rounds):
        print(f"  waiting: round {round_ + 1} of {rounds}, doing", flush=True)
        for size, ready in filled.items():
            found[size][round_]["jobs_per_second"] = work(ready, DONE, 60)["jobs_per_second"]
    return {"about": ABOUT, "sizes": {f"{size}": rounded(medians(each)) for size, each in found.items()}}


def accepting(filled: dict[int, Ready], rounds: int) -> list[dict[int, float]]:
    """Requests a second at each size, round by round; what they added is taken away again."""
    servers: dict[int, tuple[Process, int]] = {}
    found: list[dict[int, float]] = []
    try:
        for size, ready in filled.items():
            servers[size] = serving(ready)
            drive(ready, *servers[size], WARM_SECONDS)
            restore(ready)
        for round_ in range(rounds):
            print(f"  waiting: round {round_ + 1} of {rounds}, accepting", flush=True)
            found.append({})
            for size, ready in filled.items():
                found[-1][size] = drive(ready, *servers[size], SECONDS)["requests_per_second"]
                restore(ready)
    finally:
        for server, _ in servers.values():
            server.stop()
    return found


def restore(ready: Ready) -> None:
    """Take away what the load added.

    Raises:
        Trouble: more is left than was there.
    """
    ready.rows("DELETE FROM jobs WHERE task = 'reports.export'")
    ready.stage.redis.ask("DEL", "order-desk.slow", database=ready.number)
    if ready.rows("SELECT 1 FROM jobs WHERE task = 'reports.export'"):
        raise Trouble("expected the load's jobs to be gone, got: more of them")

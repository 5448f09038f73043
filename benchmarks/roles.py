"""Starting: each role of the rendered service, from its start to when it works."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.accept import accepts
from benchmarks.processes import Process
from benchmarks.stage import Ready, Stage
from benchmarks.timing import ROUNDS

ABOUT = (
    "seconds from a role's start until it works: the API's first 202, `worker ready`, `beat ready`, migrate's end; "
    "and in which the API builds its application, and the interpreter alone begins"
)

# The command of each role, and the words in its log by which it works.
ROLES = {
    "migrate": ("python -m service migrate", None),
    "api": ("python -m service api", None),
    "worker-fast": ("python -m service worker fast", "worker ready"),
    "worker-slow": ("python -m service worker slow", "worker ready"),
    "beat": ("python -m service beat", "beat ready"),
}


def measure(stage: Stage, rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians of rounds in which the roles take turns; making the service has warmed the machine."""
    ready = stage.ready("ours")
    ready.empty()
    found: dict[str, list[float]] = {role: [] for role in ROLES}
    for _ in range(rounds):
        for role in ROLES:
            began = time.perf_counter()
            process = begin(ready, role)
            found[role].append(time.perf_counter() - began)
            process.kill()
    return {"about": ABOUT, "roles": {role: round(statistics.median(each), 2) for role, each in found.items()}}


def begin(ready: Ready, role: str) -> Process:
    """Start a role, and wait until it works."""
    command, words = ROLES[role]
    if role == "api":
        process, port = ready.api()
        works: Callable[[], bool] = lambda: accepts(ready, port)  # noqa: E731
    else:
        process = ready.start(command)
        works = (lambda: words in process.log.read_text()) if words else (lambda: process.ended == 0)
    while not works():
        process.wait(lambda: True)
        time.sleep(0.01)
    return process

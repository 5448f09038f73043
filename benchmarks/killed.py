"""Recovery: `kill -9` to a worker and all that it started, until its job runs again on another that is there."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Process, Trouble
from benchmarks.stage import Ready, Stage

# Seconds that a job runs if nobody kills it, and for which a second attempt is waited for.
JOB_SECONDS = 3600
PATIENCE = 60.0
START_SECONDS = 60.0

ABOUT = f"seconds from SIGKILL of a worker to its job's next attempt on another worker, waited for {PATIENCE:g} s"


@dataclass
class Victim:
    """One contestant whose worker is killed."""

    ready: Ready
    marks: Path
    doomed: list[Process]
    heirs: list[Process]

    def attempts(self) -> int:
        """How often its job began."""
        if self.ready.ours:
            (row,) = self.ready.rows("SELECT coalesce(max(attempt), 0) FROM jobs WHERE task = 'trials.sleep'")
            return int(row[0])
        return len(self.marks.read_text().splitlines()) if self.marks.exists() else 0


def measure(stage: Stage, patience: float = PATIENCE) -> dict[str, Any]:
    """All of them at once, since all but one wait."""
    victims: dict[str, Victim] = {}
    try:
        for name, ready in stage.all().items():
            try:
                victims[name] = busy(ready)
            except Trouble as error:
                stage.trouble(name, error)
        found = killed_worker(victims, patience)
    finally:
        for victim in victims.values():
            for process in (*victim.doomed, *victim.heirs):
                process.kill()
    return {"about": ABOUT, "contestants": found}


def busy(ready: Ready) -> Victim:
    """A worker with one long job, and then another worker.

    Raises:
        Trouble: the job does not begin.
    """
    ready.empty()
    marks = ready.folder / "marks"
    marks.unlink(missing_ok=True)
    victim = Victim(ready, marks, [start(ready)], [])
    try:
        if ready.ours:
            # Its worker says which tasks there are.
            victim.doomed[0].wait(lambda: "worker ready" in victim.doomed[0].log.read_text(), START_SECONDS)
        ready.order("order", JOB_SECONDS, marks)
        victim.doomed[0].wait(lambda: victim.attempts() == 1, START_SECONDS)
        victim.heirs.append(start(ready))
    except Trouble:
        victim.doomed[0].kill()
        raise
    return victim


def start(ready: Ready) -> Process:
    """One worker for the job: of the rendered service, that of its slow queue."""
    if not ready.ours:
        return ready.start(ready.contestant.workers[0])
    trials = ready.stage.service / "tests" / "support" / "tasks"
    return ready.start("python -m tests.support worker slow", TRIALS=f"{trials}", STATE_DIR=f"{ready.folder}")


def killed_worker(victims: dict[str, Victim], patience: float) -> dict[str, dict[str, float]]:
    """Seconds until each job runs again; the rendered service promises 45 s at most, and stock Celery says 3600 s."""
    # The heirs are there, as a platform's other workers are.
    time.sleep(10)
    began: dict[str, float] = {}
    for name, victim in victims.items():
        victim.doomed[0].kill()
        began[name] = time.monotonic()
    found: dict[str, dict[str, float]] = {}
    while len(found) < len(victims) and time.monotonic() < max(began.values()) + patience:
        for name, victim in victims.items():
            if name not in found and victim.attempts() > 1:
                found[name] = {"seconds": round(time.monotonic() - began[name], 1)}
        time.sleep(0.2)
    return {name: found.get(name, {"not_within_s": patience}) for name in victims}

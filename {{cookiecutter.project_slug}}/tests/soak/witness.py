"""What was seen while it ran: how the jobs stood, when workers were silent, and how much memory their parents had."""

import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from service.database import now, standalone
from service.jobs import Job
from service.jobs.model import Process
from tests.soak.supervisor import Supervisor
from tests.support.processes import processes

# Seconds: between two looks; a process's memory counts from when it has lived so long, and until it has so much longer.
LOOK_SECONDS = 0.5
SETTLED_SECONDS = 20.0
LONG_SECONDS = 40.0


@dataclass(frozen=True)
class Growth:
    """How much memory a parent process had, in MiB, when it had settled and when it was last seen."""

    role: str
    seconds: float
    before: float
    after: float


class Witness(threading.Thread):
    """Looks at the store and the processes from outside, and keeps what it saw."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__(name="witness", daemon=True)
        self._supervisor = supervisor
        self._seen: dict[str, list[datetime]] = defaultdict(list)
        self._memory: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
        self._last: datetime | None = None
        self._done = threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        while not self._done.wait(LOOK_SECONDS):
            with suppress(SQLAlchemyError):
                self._look_at_store()
            self._look_at_memory()

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self.join()

    def silences(self, worker: str) -> list[tuple[datetime, float]]:
        """From when a worker was not heard of, and for how many seconds; the last silence lasts until now."""
        seen = [*self._seen.get(worker, []), *([self._last] if self._last else [])]
        return [(one, (two - one).total_seconds()) for one, two in pairwise(seen)]

    def growth(self) -> list[Growth]:
        """The memory of every parent process that lived long enough to tell."""
        found = []
        for (role, _), samples in self._memory.items():
            settled = [sample for sample in samples if sample[0] - samples[0][0] >= SETTLED_SECONDS]
            if settled and (lived := settled[-1][0] - samples[0][0]) >= SETTLED_SECONDS + LONG_SECONDS:
                found.append(Growth(role, lived, settled[0][1] / 1024, settled[-1][1] / 1024))
        return found

    def _look_at_store(self) -> None:
        with standalone() as session:
            for worker, seen_at, present in session.execute(select(Process.id, Process.seen_at, now())):
                self._last = present
                if not self._seen[worker] or self._seen[worker][-1] != seen_at:
                    self._seen[worker].append(seen_at)

    def _look_at_memory(self) -> None:
        parents = {role.pid: name for name, role in self._supervisor.roles.items()}
        for pid, _, _, memory in processes():
            if pid in parents:
                self._memory[parents[pid], pid].append((time.monotonic(), memory))


def standing() -> dict[str, int]:
    """How many jobs there are in each state.

    Raises:
        SQLAlchemyError: the store is away.
    """
    with standalone() as session:
        counted = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
        return {state.value: count for state, count in counted}

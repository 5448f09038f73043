"""What attempts leave in files: when each began and ended, and which others were at work when it began."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Overlap:
    """Two attempts at one job that were at work at the same moment, told by the later one as it began."""

    job_id: str
    attempts: tuple[int, int]
    at: float


@contextmanager
def marked(folder: Path, job_id: str, attempt: int) -> Iterator[None]:
    """Mark the start and the end of an attempt, and every other attempt that runs beside it.

    An attempt that runs holds a lock of the system's, which goes with its process, however that ends.
    """
    folder.mkdir(exist_ok=True)
    marks = folder / job_id
    with (folder / f"{job_id}.{attempt}").open("w") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        _say(marks, "start", attempt)
        for other in _others(folder, job_id, attempt):
            _say(marks, "beside", attempt, other)
        try:
            yield
        finally:
            _say(marks, "end", attempt)


def overlaps(folder: Path) -> list[Overlap]:
    """Every overlap that was marked."""
    found = []
    for path in _marks(folder):
        for line in path.read_text().splitlines():
            what, at, *attempts = line.split()
            if what == "beside":
                first, second = sorted(int(attempt) for attempt in attempts)
                found.append(Overlap(path.name, (first, second), float(at)))
    return found


def starts(folder: Path) -> int:
    """How many attempts began."""
    return sum(path.read_text().count("start ") for path in _marks(folder))


def _marks(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.suffix] if folder.exists() else []


def _others(folder: Path, job_id: str, attempt: int) -> Iterator[int]:
    for path in folder.glob(f"{job_id}.*"):
        other = int(path.suffix.removeprefix("."))
        if other != attempt:
            with path.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield other


def _say(marks: Path, what: str, *attempts: int) -> None:
    with marks.open("a") as file:
        file.write(f"{what} {time.time():.3f} {' '.join(map(str, attempts))}\n")

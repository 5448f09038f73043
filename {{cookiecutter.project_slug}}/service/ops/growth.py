"""What a process holds more than before: it counts from one signal to the next, and writes down what it found."""

import contextlib
import json
import os
import signal
import threading
import tracemalloc
from pathlib import Path

from service.config import settings

# A process that does not listen does not notice it.
SIGNAL = signal.SIGURG

# Lines of code that are told of a process; and seconds after which it counts no more, since whoever asked is gone.
LINES, MAX_SECONDS = 15, 600.0


def listen() -> None:
    """Let this process, and whatever it forks from now on, count what it holds when it is asked to."""
    os.register_at_fork(after_in_child=tracemalloc.stop)
    signal.signal(SIGNAL, _turn)


def file(pid: int) -> Path:
    """Where a process writes: nothing when it has begun, and then what it found."""
    return settings().state_dir / f"memory-{pid}.json"


def _turn(*_: object) -> None:
    """Between two steps of the main thread, so not while C code runs."""
    if tracemalloc.is_tracing():
        statistics = tracemalloc.take_snapshot().statistics("lineno")
        tracemalloc.stop()
        found = [each for each in statistics if each.traceback[0].filename != tracemalloc.__file__]
        lines = [{"where": str(each.traceback[0]), "bytes": each.size, "blocks": each.count} for each in found[:LINES]]
        _write({"held": sum(each.size for each in found), "lines": lines})
    else:
        _write(None)
        forget = threading.Timer(MAX_SECONDS, tracemalloc.stop)
        forget.daemon = True
        forget.start()
        tracemalloc.start()


def _write(found: object) -> None:
    path = file(os.getpid())
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        # Nobody else's file, and no link to one.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            json.dump(found, made)

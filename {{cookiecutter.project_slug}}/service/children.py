"""The processes that a worker's jobs run in: which one this is, where each of them is, and how it is stopped."""

import contextlib
import faulthandler
import os
import signal
import tempfile
import time
from collections.abc import Iterable

from celery import signals

from service.queues import Queue

# Seconds that a process has to write.
SECONDS = 0.2


class Children:
    """What `prefork` forks from this process."""

    def __init__(self, queue: Queue) -> None:
        # Each of them answers where it is, as the interpreter itself writes it, also while C code holds it; they share
        # a file that has no name.
        self._file = tempfile.TemporaryFile("a+b", 0)  # noqa: SIM115 - open as long as the process
        faulthandler.register(signal.SIGUSR2, self._file)
        # The parent alone answers SIGTERM: a signal to the whole group must not kill what runs.
        signals.worker_process_init.connect(lambda **_: signal.signal(signal.SIGTERM, signal.SIG_IGN), weak=False)

    # The number of the process that asks, as its job's row has it.
    here = staticmethod(os.getpid)

    def stack(self, pid: int) -> str:
        """The stacks of one process, innermost first."""
        self._file.truncate(0)
        self.kill([pid], signal.SIGUSR2)
        time.sleep(SECONDS)
        self._file.seek(0)
        return self._file.read().decode(errors="replace") or "its process does not answer"

    def kill(self, pids: Iterable[int], how: signal.Signals) -> None:
        """Send a signal to processes of which rows tell."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                # Of this process's group it is one of its children, or nobody whom it may kill.
                if pid > 1 and pid != os.getpid() and os.getpgid(pid) == os.getpgid(0):
                    os.kill(pid, how)

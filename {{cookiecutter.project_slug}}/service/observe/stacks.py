"""Where a process is: each of its threads, as the interpreter itself writes it, also while C code holds it."""

import contextlib
import faulthandler
import os
import signal
import tempfile
import time

# Seconds that a process has to write.
SECONDS = 0.2


class Stacks:
    """Makes this process, and whatever it forks from now on, answer; they share a file that has no name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("a+b", 0)  # noqa: SIM115 - open as long as the process
        faulthandler.register(signal.SIGUSR2, self._file)

    def of(self, pid: int) -> str:
        """The stacks of one process, innermost first."""
        self._file.truncate(0)
        # The number is from a row: another's process would end.
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == os.getpgid(0):
                os.kill(pid, signal.SIGUSR2)
        time.sleep(SECONDS)
        self._file.seek(0)
        return self._file.read().decode(errors="replace") or "its process does not answer"

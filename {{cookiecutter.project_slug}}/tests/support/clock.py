"""A clock that is wrong: this process's own, shifted by the seconds that a file holds, and again when they change."""

import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import time_machine

# Seconds between two looks at the file.
LOOK_SECONDS = 0.05


def follow(file: Path) -> None:
    """Shift the clock as the file says, here and in every process that is forked from this one."""
    clock = Clock(file)
    clock.start()
    os.register_at_fork(after_in_child=clock.start)


class Clock:
    """The clock of one process; what counts seconds without a date goes on as ever, as on a machine."""

    def __init__(self, file: Path) -> None:
        self._file, self._shift = file, 0.0
        self._traveller = time_machine.travel(timedelta(0)).start()

    def start(self) -> None:
        """Set it, and keep looking."""
        self._look()
        threading.Thread(target=self._run, name="clock", daemon=True).start()

    def _look(self) -> None:
        wanted = float(self._file.read_text() or self._shift)
        self._traveller.shift(wanted - self._shift)
        self._shift = wanted

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            self._look()

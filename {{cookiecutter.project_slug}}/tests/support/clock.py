"""A clock that is wrong: this process's own, shifted by the seconds that a file holds, and again when they change."""

import os
import threading
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import time_machine
from sqlalchemy.ext.compiler import compiles

from service import database

# Seconds between two looks at the file.
LOOK_SECONDS = 0.05


def follow(file: Path) -> None:
    """Shift the clock as the file says, here and in every process that is forked from this one."""
    clock = Clock(file)
    clock.start()
    os.register_at_fork(after_in_child=clock.start)


def shift_store(seconds: float) -> None:
    """Let the store's clock go by so many seconds wrong, for the statements of this process."""

    def shifted(element: Any, compiler: Any, plain: Any, right: str, wrong: str, **kw: Any) -> str:
        return str(plain(element, compiler, **kw).replace(right, wrong))

    right, wrong = "'now'", f"'now', '{seconds:+f} seconds'"
    lite = partial(shifted, plain=database._now_sqlite, right=right, wrong=wrong)
    right, wrong = "statement_timestamp()", f"statement_timestamp() + interval '{seconds:f} seconds'"
    postgresql = partial(shifted, plain=database._now_postgresql, right=right, wrong=wrong)
    compiles(database.now, "sqlite")(lite)
    compiles(database.now, "postgresql")(postgresql)


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

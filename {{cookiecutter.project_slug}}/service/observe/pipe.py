"""The way out for lines: whoever writes one never waits for whoever reads them."""

import os
import queue
import select
import stat
import threading
from collections.abc import Callable
from contextlib import suppress

# Lines kept while nobody reads; those that come then are counted instead.
BACKLOG = 2000


class Pipe:
    """A file descriptor, and the thread that waits for it: a reader that stops must not stop the work with it.

    A line is written at once into a file, and into a pipe of Linux that has room: a process that is killed then has
    said it. One that had to wait may come after a newer one.
    `lost` makes the line that says how many there were which nobody will read.
    """

    def __init__(self, descriptor: int, lost: Callable[[int], bytes]) -> None:
        kind = os.fstat(descriptor).st_mode
        self._at_once = stat.S_ISREG(kind)
        if stat.S_ISFIFO(kind):
            with suppress(OSError):
                # Opened once more, since whoever shares the other descriptor would have it wait, or not.
                descriptor = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
                self._at_once = True
        self._descriptor, self._lost_line = descriptor, lost
        # None that runs yet: the first line that has to wait starts one.
        self._thread = threading.Thread()
        self._begin()
        # A forked child has none of its parent's threads, and its parent writes what its parent was given.
        os.register_at_fork(after_in_child=self._begin)

    def put(self, line: bytes) -> None:
        """Write a line, or leave it to the thread; never blocks, not even in a signal's handler."""
        if self._at_once and self._lines.empty() and not self._lost:
            with suppress(OSError):
                line = line[os.write(self._descriptor, line) :]
        if not line:
            return
        if not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
        if self._lines.qsize() >= BACKLOG:
            self._lost += 1
        else:
            self._lines.put(line)

    def flush(self, seconds: float) -> bool:
        """Wait until what was put is written; gives whether all of it was."""
        if not self._thread.is_alive():
            return self._lines.empty()
        written = threading.Event()
        self._lines.put(written)
        return written.wait(seconds)

    def _begin(self) -> None:
        # Its `put` is one step even to a signal's handler; a queue with a bound of its own is not.
        self._lines: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._lost = 0

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            if self._lost:
                lost, self._lost = self._lost, 0
                self._write(self._lost_line(lost))
            self._write(line)

    def _write(self, line: bytes) -> None:
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                self._lost += 1
                return

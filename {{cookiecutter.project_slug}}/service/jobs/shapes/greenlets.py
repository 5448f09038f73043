"""The pool of a queue whose jobs wait on others: greenlets, hundreds of them in one process.

Each has what a process of prefork has: a number in its job's row, both limits, and an end of its own. A job that
computes would hold up all the others, so it is stopped; a process whose loop stands still ends, and one that has grown
begins anew.
"""

import atexit
import faulthandler
import functools
import itertools
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import greenlet
import structlog
from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded
from celery import concurrency, signals
from celery.app.events import Events
from celery.concurrency.base import BasePool
from celery.concurrency.gevent import Timer
from celery.events.dispatcher import EventDispatcher
from gevent import Greenlet, GreenletExit, Timeout, getcurrent, joinall, sleep, spawn, spawn_later
from gevent.lock import Semaphore

from service.config import settings
from service.queues import Queue

log = structlog.get_logger()

# Seconds: of computing without a wait, or a heartbeat's where that is less, after which a job is stopped; without any
# turn of the loop, as when C code waits, after which the process ends; and for a killed job to be gone.
BUSY_SECONDS, STUCK_SECONDS, KILL_SECONDS = 5.0, 30.0, 5.0

COMPUTES = "computing, which holds up all other jobs of its worker; a queue whose pool is prefork is for that"

# The jobs at work, by a number that no process has.
running: dict[int, "Attempt"] = {}


class Killed(GreenletExit):
    """What SIGKILL is to a process: no `except Exception` keeps it, and what is open is rolled back and closed."""


class Overrun(Killed):
    """The hard limit's, which its request has told of already."""


class Attempt(Greenlet):
    """One message of the broker, from its turn to its end."""

    begun = number = 0

    def end(self, how: BaseException) -> None:
        """Raise this where it waits; what does not let itself be killed takes its process with it."""
        self.kill(how, block=False)
        if isinstance(how, Killed):
            self.join(KILL_SECONDS)
            if not self.dead:
                renew("a job that cannot be killed")


class Pool(BasePool):
    """In place of Celery's own, which knows no soft limit, and tells nobody that a greenlet died."""

    Timer = Timer
    is_green, signal_safe, task_join_will_block = True, False, False

    def on_start(self) -> None:
        """As many at once as the queue says; the others wait here, and not in the consumer's loop."""
        self._places = Semaphore(self.limit)
        self._taken: set[Attempt] = set()
        # Of an end the broker is told by one at a time: its client has few connections, and does not wait for one.
        self._telling = Semaphore(1)

    def on_apply(self, *what: Any, **about: Any) -> Attempt:
        """Take a message; its attempt begins when there is a place."""
        made = Attempt(self._turn, *what, **about)
        self._taken.add(made)
        made.link(self._taken.discard)
        made.start()
        return made

    def on_stop(self) -> None:
        """Wait for what runs; what had no turn goes back with the broker's connection."""
        joinall(list(self._taken))

    def _turn(self, *what: Any, callback: Any, error_callback: Any, **about: Any) -> None:
        with self._places:
            if self._state != self.RUN:
                return
            try:
                returned = self._run(*what, **about)
            except Overrun:
                return
            except BaseException as error:
                failure = ExceptionInfo((type(error), error, error.__traceback__))
                self._tell(error_callback, failure)
            else:
                self._tell(callback, returned)

    def _tell(self, callback: Callable[..., None], *what: Any) -> None:
        with self._telling:
            callback(*what)

    def _run(self, target: Any, args: Any, kwargs: Any, **about: Any) -> Any:
        me, soft, hard = getcurrent(), about["soft_timeout"], about["timeout"]

        def overrun() -> None:
            self._tell(about["timeout_callback"], False, hard)
            me.end(Overrun())

        Attempt.begun += 1
        me.number = -Attempt.begun
        running[me.number] = me
        guard = spawn_later(hard, overrun)
        try:
            about["accept_callback"](me.number, time.monotonic())
            with Timeout(soft, SoftTimeLimitExceeded(soft)):
                return target(*args, **kwargs)
        finally:
            guard.kill(block=False)
            del running[me.number]


class Dispatcher(EventDispatcher):
    """It sends what Flower is told of tasks each second, as with prefork, and not each by itself."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"buffer_group": ["task"]})


class Greenlets:
    """Where the jobs of such a worker are, and how they are stopped; and what becomes of their process."""

    def __init__(self, queue: Queue) -> None:
        concurrency.ALIASES["gevent"] = f"{__name__}:Pool"
        Events.dispatcher_cls = Dispatcher
        self._most = queue.max_tasks_per_child * queue.concurrency
        self._largest = queue.max_memory_per_child
        signals.worker_ready.connect(partial(spawn, self._watch), weak=False)

    def here(self) -> int:
        """The number of the job that asks, as its row has it."""
        return int(getcurrent().number)

    def _watch(self, **_: Any) -> None:
        """Stop whatever computes, and end when nothing has its turn any more."""
        switches = itertools.count()
        greenlet.settrace(lambda *_: next(switches))
        before = 0

        def look(*_: object) -> None:
            """Between two steps of whatever computes."""
            nonlocal before
            before, last = next(switches), before
            if before == last + 1 and getattr(getcurrent(), "number", 0) in running:
                raise SoftTimeLimitExceeded(COMPUTES)

        # It counts the time that this process computes, so that no machine that stood still is to blame.
        atexit.register(signal.setitimer, signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, look)
        signal.setitimer(signal.ITIMER_PROF, *2 * [min(BUSY_SECONDS, settings().heartbeat_seconds) / 2])
        while True:
            faulthandler.dump_traceback_later(STUCK_SECONDS, file=2, exit=True)
            sleep(1)
            if _resident() > self._largest:
                renew(f"more than {self._largest} KiB of memory")
            if Attempt.begun > self._most:
                renew(f"{self._most} jobs")

    def stack(self, number: int) -> str:
        """Where a job waits, innermost first."""
        frame = running[number].gr_frame if number in running else None
        return "".join(reversed(traceback.format_stack(frame))) if frame else "its greenlet has ended"

    def kill(self, numbers: Iterable[int], how: signal.Signals) -> None:
        """Stop jobs: SIGKILL ends them, any other signal asks for it as the soft limit does."""
        for job in [running[number] for number in numbers if number in running]:
            spawn(job.end, Killed("killed") if how == signal.SIGKILL else SoftTimeLimitExceeded("cancelled"))


@functools.cache
def renew(reason: str) -> None:
    """End as on SIGTERM, and begin anew as the same process."""
    log.warning("worker begins anew", reason=reason)
    atexit.register(_again)
    os.kill(os.getpid(), signal.SIGTERM)


def _again() -> None:
    atexit.unregister(_again)
    atexit._run_exitfuncs()
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - it is us


def _resident() -> int:
    """KiB of this process, where the system tells."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024
    return 0

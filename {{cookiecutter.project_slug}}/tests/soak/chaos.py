"""Carries out the schedule, step by step, whatever state it finds."""

import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import redis
import sqlalchemy

from service import database
from tests.soak.schedule import Step
from tests.soak.supervisor import Supervisor
from tests.support.processes import children
from tests.support.stack import Stack

# Bytes: less than Redis has in use when it is empty, so that it takes nothing more.
FULL = 1


class Chaos(threading.Thread):
    """Everything that may go wrong, at its time; `done` tells how each step went."""

    def __init__(self, steps: Sequence[Step], stack: Stack, supervisor: Supervisor) -> None:
        super().__init__(name="chaos", daemon=True)
        self.done: list[str] = []
        self.acts: Counter[str] = Counter()
        self._steps, self._stack, self._supervisor = steps, stack, supervisor
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._broker_runs = True
        self._lock: sqlite3.Connection | None = None

    def run(self) -> None:
        """Until the last step, or `stop`."""
        for step in self._steps:
            if self._ended.wait(max(0.0, self._began + step.at - time.monotonic())):
                break
            self._take(step)
        self._undo()

    def stop(self) -> None:
        """End, and leave everything running and reachable."""
        self._ended.set()
        self.join()

    def _take(self, step: Step) -> None:
        store = f" {step.target}" if step.target in {"broker", "database"} else ""
        try:
            said = getattr(self, f"_do {step.act}{store}".replace(" ", "_"))(step) or ""
        except (OSError, redis.RedisError, sqlite3.Error, sqlalchemy.exc.SQLAlchemyError) as error:
            said = f"(came to nothing: {type(error).__name__})"
        self.acts[f"{step.act} {step.target.partition('-')[0]}"] += 1
        self.done.append(f"{time.monotonic() - self._began:6.1f} s  {step} {said}".rstrip())

    def _signal(self, step: Step, how: signal.Signals, *, group: bool) -> None:
        self._supervisor.roles[step.target].signal(how, group=group)

    def _do_kill_the_group_of(self, step: Step) -> None:
        self._signal(step, signal.SIGKILL, group=True)

    def _do_kill_the_parent_of(self, step: Step) -> None:
        self._signal(step, signal.SIGKILL, group=False)

    def _do_kill_a_child_of(self, step: Step) -> str:
        pids = children(self._supervisor.roles[step.target].pid)
        if not pids:
            return "(it had none)"
        os.kill(pids[int(step.pick * len(pids))], signal.SIGKILL)
        return ""

    def _do_stop(self, step: Step) -> None:
        self._signal(step, signal.SIGTERM, group=False)

    def _do_freeze(self, step: Step) -> None:
        self._signal(step, signal.SIGSTOP, group=True)

    def _do_thaw(self, step: Step) -> None:
        self._signal(step, signal.SIGCONT, group=True)

    def _do_take_away_broker(self, step: Step) -> None:
        self._broker_runs = False
        self._stack.broker.stop(signal.SIGKILL if step.pick < 0.5 else signal.SIGTERM)

    def _do_give_back_broker(self, step: Step) -> None:
        if not self._broker_runs:
            self._stack.broker.start()
            self._broker_runs = True

    def _do_wipe_broker(self, step: Step) -> None:
        self._stack.broker.wipe()

    def _do_fill_broker(self, step: Step, limit: int = FULL) -> None:
        with redis.Redis(port=self._stack.broker.port) as client:
            client.config_set("maxmemory", limit)

    def _do_empty_broker(self, step: Step) -> None:
        self._do_fill_broker(step, limit=0)

    def _do_take_away_database(self, step: Step) -> str:
        """Restart it by the command given; without one cut every connection, and hold the one writer's lock on SQLite.

        A restart is over when its command is; only a lock is given back.
        """
        engine = database.engine()
        if engine.dialect.name == "sqlite":
            self._lock = self._lock or sqlite3.connect(engine.url.database or "", timeout=5, isolation_level=None)
            self._lock.execute("BEGIN EXCLUSIVE")
            return "(its one writer's lock is held)"
        if restart := os.environ.get("TEST_DATABASE_RESTART"):
            code = subprocess.run(restart, shell=True, capture_output=True, timeout=60).returncode
            return f"(restarted, exit code {code})"
        with database.standalone() as session:
            others = "pid <> pg_backend_pid() AND datname = current_database()"
            session.execute(sqlalchemy.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
        return "(every connection cut)"

    def _do_give_back_database(self, step: Step) -> None:
        if self._lock is not None:
            with suppress(sqlite3.Error):
                self._lock.execute("ROLLBACK")

    def _undo(self) -> None:
        nothing = Step(0, "", "", 0)
        for role in self._supervisor.roles.values():
            role.signal(signal.SIGCONT, group=True)
        self._do_give_back_broker(nothing)
        self._do_empty_broker(nothing)
        self._do_give_back_database(nothing)

"""Starts the roles, and starts again whichever ends, as a platform does."""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from tests.soak import shapes
from tests.soak.schedule import ROLES
from tests.support.processes import processes
from tests.support.stack import Role, Stack

# Seconds: between two looks, before a role that ended is started again, and for one to end that was told to.
LOOK_SECONDS = 0.2
RESTART_SECONDS = 1.0
STOP_SECONDS = 60.0

KILLED, STOPPED, BY_THEMSELVES = "killed", "stopped", "ended by themselves"


class Supervisor(threading.Thread):
    """The roles of one service by name: `worker-fast-2` is the second `worker fast`."""

    def __init__(self, stack: Stack, environment: Mapping[str, str]) -> None:
        super().__init__(name="supervisor", daemon=True)
        self.roles: dict[str, Role] = {}
        self.ends: Counter[str] = Counter()
        self.oddities: list[str] = []
        self._stack, self._environment = stack, environment
        self._done = threading.Event()
        for name in ROLES:
            self._start(name)

    def run(self) -> None:
        """Until `stop`."""
        due: dict[str, float] = {}
        while not self._done.wait(LOOK_SECONDS):
            for name, role in list(self.roles.items()):
                if role.process.poll() is None:
                    continue
                if name not in due:
                    self._note(name, role)
                    due[name] = time.monotonic() + RESTART_SECONDS
                elif time.monotonic() >= due[name]:
                    del due[name]
                    self._start(name)

    def stop(self) -> list[str]:
        """Tell every role to end; gives those that did not, or not well."""
        self._done.set()
        self.join()
        faults = []
        for role in self.roles.values():
            role.signal(signal.SIGTERM)
        for name, role in self.roles.items():
            try:
                code = role.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                faults.append(f"{name} did not end within {STOP_SECONDS:g} s of SIGTERM: {role.log.name}")
                continue
            if code not in {0, -signal.SIGTERM, -signal.SIGKILL}:
                faults.append(f"{name} ended with {code} after SIGTERM: {role.log.name}")
        return faults

    def orphans(self) -> list[str]:
        """Processes of a role whose parent has ended; those found are killed."""
        groups = {role.pid: role for role in self._stack.roles}
        found = []
        for pid, _, group, _ in processes():
            if group in groups and pid != group and groups[group].process.poll() is not None:
                found.append(f"process {pid} outlived its parent {group}: {groups[group].log.name}")
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return found

    def _start(self, name: str) -> None:
        words = name.removesuffix("-1").removesuffix("-2").split("-", 1)
        self.roles[name] = self._stack.start(*words, ready=False, **self._environment, **shapes.settings(name))

    def _note(self, name: str, role: Role) -> None:
        ends = {-signal.SIGKILL: KILLED, 0: STOPPED, -signal.SIGTERM: STOPPED}
        how = ends.get(role.process.returncode, BY_THEMSELVES)
        self.ends[how] += 1
        if how == BY_THEMSELVES:
            said = role.log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            self.oddities.append(f"{name} ended with {role.process.returncode} ({role.log.name}): {said[0][:160]}")

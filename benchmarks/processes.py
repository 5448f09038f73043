"""Processes that a benchmark starts: measured together with what they started, and ended by their ids."""

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

# Seconds that a process has for its end before it is killed.
STOP_SECONDS = 20.0

# What runs, in the order in which it was started.
_running: list["Process"] = []


class Trouble(Exception):  # noqa: N818 - an error is named after what is wrong
    """Something that is measured cannot be had; the message is the sentence that stands in its place."""


class Process:
    """One process with all that it starts, in a session of its own, so that Ctrl-C reaches the benchmark alone."""

    def __init__(
        self,
        *command: object,
        folder: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.name, self.log = Path(str(command[0])).name, log
        who = {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}
        with log.open("ab") as output:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **who,  # type: ignore[call-overload]
            )
        _running.append(self)

    @property
    def pid(self) -> int:
        """The process itself."""
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.poll()

    def said(self) -> str:
        """The last words of its log, in one line."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " / ".join(line.strip() for line in lines[-2:])[:300]

    def wait(self, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until it is ready.

        Raises:
            Trouble: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.ended is not None:
                raise Trouble(f"expected {self.name} to run, got: {self.said() or f'exit code {self.ended}'}")
            if time.monotonic() > deadline:
                raise Trouble(f"expected {self.name} to be ready within {seconds:g} s, got: {self.said() or 'nothing'}")
            time.sleep(0.02)

    def cpu(self) -> float:
        """Seconds of CPU that it and all that it started have taken, also those that have ended since."""
        ticks = 0
        for pid in family(self.pid):
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(int(field) for field in fields[11:15])
        return ticks / TICKS

    def memory(self) -> float:
        """MB that they hold together; what they share counts once."""
        kibibytes = 0
        for pid in family(self.pid):
            with suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                kibibytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kibibytes * 1024 / 1e6

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end, and kill what has not ended in time."""
        started = family(self.pid)
        if self.ended is None:
            self._process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill(started)

    def kill(self, started: Iterable[int] = ()) -> None:
        """SIGKILL to it and to all that it started, it first; `started` is what it had started before it ended."""
        alive = self.ended is None
        doomed = [*(family(self.pid) if alive else ()), *(pid for pid in started if _ours(pid, self))]
        for pid in dict.fromkeys(doomed):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        # A process that is killed is not gone yet; whatever it held is, once it is.
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(lives, doomed)) and time.monotonic() < deadline:
            time.sleep(0.005)
        with suppress(ValueError):
            _running.remove(self)


class Server:
    """A store that its subclass starts, as a process; `title` is what a sentence calls it."""

    title = ""
    _process: Process | None = None

    @property
    def process(self) -> Process:
        """The server's process.

        Raises:
            Trouble: it does not run.
        """
        if self._process is None:
            raise Trouble(f"expected {self.title} to run, got: stopped")
        return self._process


def lives(pid: int) -> bool:
    """Whether a process is there, and not only its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _ours(pid: int, process: Process) -> bool:
    """Whether a process is still the one that was seen: one that was started by what has ended keeps its session."""
    try:
        return pid != process.pid and os.getsid(pid) == process.pid
    except ProcessLookupError:
        return False


def family(pid: int) -> list[int]:
    """A process and all that it started and that still are, itself first."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            found += [int(child) for child in Path(f"/proc/{each}/task/{each}/children").read_text().split()]
    return found


def end() -> None:
    """Kill whatever still runs, the last first."""
    for process in reversed(_running.copy()):
        process.kill()


def run(
    *command: object, folder: Path, environment: Mapping[str, str] | None = None, seconds: float | None = None
) -> str:
    """Run a command to its end, for so many seconds at most; gives what it printed.

    Raises:
        Trouble: with its last words, where it fails or cannot be found.
    """
    words = [str(word) for word in command]
    # A user's Python keeps the bytecode of its first run.
    around = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env=around if environment is None else environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"expected {Path(words[0]).name} {words[1]} to end within {seconds:g} s, got: nothing") from error
    except FileNotFoundError as error:
        raise Trouble(f"expected the program {Path(words[0]).name}, got: none; install it") from error
    if done.returncode:
        said = " / ".join(line.strip() for line in done.stderr.strip().splitlines()[-2:])[-300:]
        raise Trouble(
            f"expected {Path(words[0]).name} {' '.join(words[1:4])} to succeed, got: {said or done.returncode}"
        )
    return done.stdout

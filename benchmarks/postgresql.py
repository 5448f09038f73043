"""A PostgreSQL of the benchmark's own: as it is installed, with `fsync` on, on a private port, ended by its id."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.processes import Process, Server, Trouble, run

HOST = "127.0.0.1"
USER = "postgres"
PROGRAMS = ("initdb", "postgres", "pg_isready", "psql")

# Contestants whose processes stand side by side want more than the hundred that are the default.
MAX_CONNECTIONS = 300

REMEDY = "on Debian: apt install postgresql"


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def programs(wanted: Iterable[str] = PROGRAMS) -> Path:
    """The folder of PostgreSQL's programs, the newest that has all that is wanted.

    Raises:
        Trouble: there is none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True).stdout.strip()
        found.append(Path(said) / "postgres")
    if path := shutil.which("postgres"):
        found.append(Path(path))
    for program in reversed(found):
        if all((program.parent / name).exists() for name in wanted):
            return program.parent
    raise Trouble(f"expected PostgreSQL's programs, got: none; {REMEDY}")


class Postgresql(Server):
    """One server, and a database for each who asks."""

    title = "PostgreSQL"

    def __init__(self) -> None:
        self._programs, self.port = programs(), free_port()
        # PostgreSQL refuses root, and who runs it then cannot look into a folder of root's.
        self._user = USER if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="bench-postgresql-"))
        if self._user:
            shutil.chown(self.folder, self._user)

    def start(self) -> None:
        """Make its data and start it.

        Raises:
            Trouble: it does not start.
        """
        data, log = self.folder / "data", self.folder / "log"
        make = [self._programs / "initdb", "--pgdata", data, "--username", "service", "--auth", "trust"]
        lower = ["runuser", "-u", self._user, "--"] if self._user else []
        run(*lower, *make, "--encoding", "UTF8", "--no-sync", folder=self.folder)
        options = {"port": self.port, "listen_addresses": HOST, "unix_socket_directories": "", "fsync": "on"}
        options |= {"max_connections": MAX_CONNECTIONS}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        server = [self._programs / "postgres", "-D", data, *words]
        self._process = Process(*server, folder=self.folder, log=log, user=self._user)
        ready = [str(self._programs / "pg_isready"), "--quiet", "--host", HOST, "--port", f"{self.port}"]
        self._process.wait(lambda: subprocess.run(ready).returncode == 0)

    def url(self, database: str) -> str:
        """What DATABASE_URL is set to."""
        return f"postgresql://service@{HOST}:{self.port}/{database}"

    def ask(self, statement: str, database: str = "postgres") -> str:
        """Run a statement; gives its rows, a line each, with | between the columns.

        Raises:
            Trouble: with what PostgreSQL says, where it fails.
        """
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]
        where = ["--dbname", self.url(database), "--command", statement]
        return run(self._programs / "psql", *options, *where, folder=self.folder).strip()

    def make(self, database: str, like: str = "template1") -> None:
        """Make a database anew, as a copy of another; whoever is connected to it is cut off."""
        self.ask(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        self.ask(f'CREATE DATABASE "{database}" TEMPLATE "{like}"')

    def version(self) -> str:
        """As the server says it."""
        return self.ask("SHOW server_version").split()[0]

    def stop(self) -> None:
        """End it and forget its data."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)

"""A Redis of the benchmark's own, as the rendered compose.yaml configures it, on a private port, ended by its id."""

import shutil
import socket
from io import BufferedRWPair
from pathlib import Path

from benchmarks.postgresql import HOST, free_port
from benchmarks.processes import Process, Server, Trouble, run

PASSWORD = "bench"

# tests/test_bench.py holds them equal to what compose.yaml says.
SETTINGS = {"requirepass": PASSWORD, "appendonly": "yes", "save": "", "maxmemory-policy": "noeviction"}

# Two for each contestant: what it works on, and how that stood at first.
DATABASES = 64

REMEDY = "on Debian: apt install redis-server"

# Copies every key of the database that is selected into another, which is emptied first.
COPY = """
local from, to = KEYS[1], KEYS[2]
redis.call('SELECT', to)
redis.call('FLUSHDB')
redis.call('SELECT', from)
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', to) end
"""


class Redis(Server):
    """One server; `program` is a redis-server, or what stands in for one."""

    title = "Redis"

    def __init__(self, folder: Path, program: str) -> None:
        self._folder, self._program, self.port = folder, program, free_port()

    def start(self) -> None:
        """Start it.

        Raises:
            Trouble: it does not start.
        """
        self._folder.mkdir()
        settings = SETTINGS | {
            "bind": HOST,
            "port": f"{self.port}",
            "dir": f"{self._folder}",
            "databases": f"{DATABASES}",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = Process(self._program, *words, folder=self._folder, log=self._folder / "log")
        self._process.wait(self._answers, 10)

    def url(self, database: int) -> str:
        """What BROKER_URL is set to."""
        return f"redis://:{PASSWORD}@{HOST}:{self.port}/{database}"

    def ask(self, *words: str | int, database: int = 0) -> list[str]:
        """Send one command; gives the texts and numbers of its answer, one after the other.

        Raises:
            Trouble: with what Redis says, where it refuses.
        """
        with socket.create_connection((HOST, self.port), timeout=60) as connection:
            stream = connection.makefile("rwb")
            for command in (("AUTH", PASSWORD), ("SELECT", database), words):
                parts = [str(word).encode() for word in command]
                stream.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in parts))
                stream.flush()
                answer = list(_read(stream))
        return answer

    def copy(self, database: int, to: int) -> None:
        """Make one database what another is."""
        self.ask("EVAL", COPY, 2, database, to)

    def commands(self) -> int:
        """How many it has served so far."""
        (text,) = self.ask("INFO", "stats")
        return int(dict(line.split(":", 1) for line in text.splitlines() if ":" in line)["total_commands_processed"])

    def version(self) -> str:
        """As the server says it, with its name where it is another."""
        (text,) = self.ask("INFO", "server")
        said = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        name = said.get("server_name", "redis")
        return f"{name} {said.get(f'{name}_version', said['redis_version'])}".removeprefix("redis ")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == ["PONG"]
        except (OSError, Trouble):
            return False


def program(service: Path) -> str:
    """A redis-server of the machine's own, or the one that the rendered service's tests bring.

    Raises:
        Trouble: there is neither.
    """
    if found := shutil.which("redis-server"):
        return found
    asked = "from local.broker import server; print(server())"
    try:
        return run(service / ".venv/bin/python", "-c", asked, folder=service).strip()
    except Trouble as error:
        raise Trouble(f"expected a redis-server, got: none; {REMEDY}") from error


def _read(stream: BufferedRWPair) -> list[str]:
    line = stream.readline()
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-" or not line:
        raise Trouble(f"expected an answer of Redis, got: {rest or 'none'}")
    if kind == b"$":
        return [stream.read(int(rest) + 2)[:-2].decode(errors="replace")] if rest != "-1" else []
    if kind == b"*":
        return [each for _ in range(max(int(rest), 0)) for each in _read(stream)]
    return [rest]

"""The stage: the rendered service, the stores, and each contestant made ready in an environment of its own."""

import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from benchmarks import redis_server
from benchmarks.contestant import Contestant
from benchmarks.peers import OURS, contestants
from benchmarks.postgresql import Postgresql, free_port
from benchmarks.processes import Process, Trouble, run
from benchmarks.redis_server import Redis

REPOSITORY = Path(__file__).parents[1]
UV = os.environ.get("UV", "uv")


class Stage:
    """What the steps share; each part is made when it is first asked for."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.token = f"bench_{secrets.token_urlsafe(32)}"
        self.troubles: dict[str, str] = {}
        self.made: dict[tuple[str, str], Ready] = {}

    @cached_property
    def rendered(self) -> Path:
        """A service with the default answers."""
        return render(REPOSITORY, self.scratch / "first")

    @cached_property
    def service(self) -> Path:
        """The same with its environment, and with these benchmarks beside it."""
        run(UV, "sync", "--quiet", folder=self.rendered)
        (self.rendered / "benchmarks").symlink_to(REPOSITORY / "benchmarks")
        return self.rendered

    @cached_property
    def postgresql(self) -> Postgresql:
        """The PostgreSQL that all share, one at a time."""
        made = Postgresql()
        self._ends = [*getattr(self, "_ends", []), made]
        made.start()
        return made

    @cached_property
    def redis(self) -> Redis:
        """The Redis that all share, one at a time."""
        made = Redis(self.scratch / "redis", redis_server.program(self.service))
        made.start()
        return made

    def ready(self, name: str, variant: str = "") -> "Ready":
        """A contestant with stores of its own, empty; `variant` tells several of one contestant apart.

        Raises:
            Trouble: it cannot be had.
        """
        key = (name, variant)
        if key not in self.made:
            made = Ready(self, contestants()[name], variant, 2 * len(self.made))
            made.prepare()
            self.made[key] = made
        return self.made[key]

    def all(self, *names: str) -> "dict[str, Ready]":
        """Those of these contestants that can be had; of each other one sentence is printed, and kept."""
        found = {}
        for name in names or tuple(contestants()):
            try:
                found[name] = self.ready(name)
            except Trouble as error:
                self.trouble(name, error)
        return found

    def trouble(self, name: str, error: Exception) -> None:
        """Say once why a contestant is missing."""
        if self.troubles.get(name) != str(error):
            print(f"  {name} is left out: {error}", flush=True)
        self.troubles[name] = str(error)

    def end(self) -> None:
        """Stop the stores."""
        for each in getattr(self, "_ends", []):
            each.stop()


class Ready:
    """A contestant that can be started."""

    def __init__(self, stage: Stage, contestant: Contestant, variant: str, number: int) -> None:
        self.stage, self.contestant, self.number = stage, contestant, number
        self.name, self._variant = contestant.name, variant
        self._database = f"bench_{contestant.name}{variant}"
        self._total, self._logs = 0, 0
        self.folder = stage.scratch / "contestants" / f"{contestant.name}{variant}"
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def ours(self) -> bool:
        """Whether it is the rendered service."""
        return self.name == OURS

    @property
    def programs(self) -> Path:
        """The folder of its environment's programs."""
        if self.ours:
            return self.stage.service / ".venv" / "bin"
        return self.stage.scratch / "environments" / (self.contestant.module or self.name) / "bin"

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """What its processes see: nothing of this one but where programs are."""
        around = {name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "TMPDIR"}}
        digest = hashlib.sha256(self.stage.token.encode()).hexdigest()
        url = self.stage.redis.url(self.number)
        database = self.stage.postgresql.url(self._database) if self.contestant.postgresql else ""
        theirs = {
            "ENVIRONMENT": "production", "BROKER_URL": url, "STATE_DIR": f"{self.folder}",
            "API_TOKENS": f"bench/jobs:read+jobs:write/{digest}",
        }  # fmt: skip
        peers = {"PYTHONPATH": f"{REPOSITORY}", "REDIS_URL": url, "TOKEN_SHA256": digest}
        return {
            **around,
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "DATABASE_URL": database,
            **(theirs if self.ours else peers),
            **self.contestant.environment,
        }

    def prepare(self) -> None:
        """Install it and make its stores.

        Raises:
            Trouble: one of them cannot be had.
        """
        if not self.ours and not self.programs.exists():
            python = self.stage.service / ".venv" / "bin" / "python"
            run(UV, "venv", "--quiet", "--python", python, self.programs.parent, folder=self.folder)
            install = [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", self.programs / "python"]
            try:
                run(*install, *self.contestant.packages, folder=self.folder)
            except Trouble:
                # Another step may try again, and would take what is there for whole.
                shutil.rmtree(self.programs.parent)
                raise
        self.stage.redis.ask("FLUSHDB", database=self.number)
        if self.contestant.postgresql:
            self.stage.postgresql.make(self._database)
        if self.contestant.prepare:
            run(*self._words(self.contestant.prepare), folder=self.where, environment=self.environment)

    @property
    def where(self) -> Path:
        """The folder that its processes start in."""
        return self.stage.service if self.ours else self.folder

    def start(self, command: str, **environment: str) -> Process:
        """Start one of its commands."""
        self._logs += 1
        log = self.folder / f"{self._logs}.log"
        around = {**self.environment, **environment}
        return Process(*self._words(command), folder=self.where, log=log, environment=around)

    def workers(self) -> list[Process]:
        """Start what does its jobs, in two processes."""
        return [self.start(command) for command in self.contestant.workers]

    def api(self) -> tuple[Process, int]:
        """Start what answers its requests, one process of it; gives its port, too."""
        port = free_port()
        return self.start(self.contestant.api.replace("{port}", f"{port}"), PORT=f"{port}"), port

    def order(self, function: str, *words: object) -> None:
        """Order jobs by a function of its app."""
        module = self.contestant.module or self.name
        call = [self.programs / "python", "-m", "benchmarks.peers.order", module, function, *map(str, words)]
        run(*call, folder=self.where, environment=self.environment)

    def done(self) -> int:
        """How many jobs were done since `keep` or `back`."""
        kind, _, rest = self.contestant.done.partition(" ")
        if kind == "SELECT":
            return int(self.stage.postgresql.ask(self.contestant.done, self._database))
        if kind == "list":
            return self._total - int(self._redis("LLEN", rest)[0])
        said = self._redis("XINFO", "GROUPS", rest)
        group = dict(zip(said[::2], said[1::2], strict=True))
        return int(group["entries-read"]) - int(group["pending"])

    def keep(self) -> None:
        """Keep how its stores stand now; nothing of it may run."""
        if self.contestant.done.startswith("list"):
            self._total = int(self._redis("LLEN", self.contestant.done.split()[1])[0])
        self.stage.redis.copy(self.number, self.number + 1)
        if self.contestant.postgresql:
            # A backlog that grew by itself would have been looked at by autovacuum.
            self.rows("VACUUM ANALYZE")
            self.stage.postgresql.make(f"{self._database}_kept", self._database)

    def back(self) -> None:
        """Make its stores stand as they did when they were kept; nothing of it may run."""
        self.stage.redis.copy(self.number + 1, self.number)
        if self.contestant.postgresql:
            self.stage.postgresql.make(self._database, f"{self._database}_kept")

    def empty(self) -> None:
        """Begin with stores that hold no job."""
        self.prepare()

    def rows(self, statement: str) -> list[list[str]]:
        """What a statement gives, of its own database."""
        said = self.stage.postgresql.ask(statement, self._database)
        return [line.split("|") for line in said.splitlines()]

    def _redis(self, *words: str | int) -> list[str]:
        return self.stage.redis.ask(*words, database=self.number)

    def _words(self, command: str) -> list[str]:
        filled = command.replace("{name}", self.contestant.module or self.name)
        program, *words = filled.replace("{redis}", self.stage.redis.url(self.number)).split()
        return [str(self.programs / program), *words]


def render(template: Path, target: Path, *answers: str) -> Path:
    """Render a template with its default answers; gives the project's folder where it is ours."""
    words = ["cookiecutter", "--no-input", "--output-dir", str(target), str(template), *answers]
    run(sys.executable, "-m", *words, folder=REPOSITORY)
    return target / "order-desk"

"""A contestant: what is measured beside others, how it is started, and what it guarantees."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PATH = "/v1/reports"
BODY = '{"title": "Q3", "rows": 1000}'

# The commands of gunicorn and uvicorn as their documentation has them, with one process.
GUNICORN = "gunicorn --workers 1 --bind 127.0.0.1:{port} benchmarks.peers.{name}.app:web"
UVICORN = "uvicorn --host 127.0.0.1 --port {port} benchmarks.peers.{name}.app:web"


@dataclass(frozen=True)
class Survives:
    """What becomes of a job by three faults, each in a few words that begin with yes or no."""

    killed_worker: str
    wiped_broker: str
    committed_row: str


@dataclass(frozen=True)
class Contestant:
    """How its own documentation tells a newcomer to run it; `{port}` and `{name}` are filled in.

    `workers` are commands that make two processes for jobs together. `done` is where it stands how many jobs were done:
    `list KEY` and `stream KEY` in Redis, or a statement of SQL that counts them.
    """

    name: str
    title: str
    survives: Survives
    workers: tuple[str, ...]
    done: str
    packages: tuple[str, ...] = ()
    api: str = GUNICORN
    prepare: str = ""
    versions: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    # The module whose app it is, where that is another's.
    module: str = ""

    @property
    def postgresql(self) -> bool:
        """Whether its jobs are rows of PostgreSQL."""
        return self.done.startswith("SELECT")

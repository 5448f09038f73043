"""A whole service on private stores: every role a real process, which a test may kill, freeze and start again."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy

from service import config, database, schema
from service.jobs import Job, doorbell, query, submit
from service.jobs.doorbell import Bell
from service.jobs.model import ENDED
from service.refused import RefusedMessage
from tests.support import brokers, pristine
from tests.support.effects import EFFECTS
from tests.support.ports import free_port
from tests.support.waiting import until

T = TypeVar("T")

ROOT = Path(__file__).parents[2]

TRIALS = Path(__file__).parent / "tasks"

# Short, so that a test need not wait for a production's half minute; everything else is as it is rendered.
HEARTBEAT_SECONDS = 1.0


class Role:
    """One process of the service, in a process group of its own."""

    def __init__(self, words: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self.words, self.log = words, log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support", *words],
                cwd=ROOT,
                env=dict(environment),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The parent process of the role."""
        return self.process.pid

    def signal(self, how: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the parent process, or to it and its children."""
        if self.process.poll() is None:
            os.killpg(self.pid, how) if group else os.kill(self.pid, how)

    def kill(self) -> None:
        """SIGKILL to the whole group, and wait for the end."""
        self.signal(signal.SIGKILL, group=True)
        self.process.wait(10)

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM to the parent; gives its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def said(self, text: str) -> bool:
        """Whether the log holds `text`."""
        return text in self.log.read_text(errors="replace")


class Stack:
    """The stores and the roles of one test."""

    def __init__(self, directory: Path, database_url: str | None = None, **environment: str) -> None:
        self.directory = directory
        self.broker = brokers.make(directory / "broker")
        self.roles: list[Role] = []
        self._before = dict(os.environ)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}},
            "ENVIRONMENT": "test",
            "DATABASE_URL": database_url or f"sqlite:///{directory / 'service.db'}",
            "BROKER_URL": self.broker.url,
            "HEARTBEAT_SECONDS": f"{HEARTBEAT_SECONDS}",
            "OUTBOUND_ALLOW": "127.0.0.1",
            "STATE_DIR": str(directory),
            "SERVICE_VERSION": "test",
            "PYTHONWARNINGS": "ignore",
            "TRIALS": str(TRIALS),
            **environment,
        }

    def prepare(self) -> None:
        """Start the broker, make the database pristine, and make both this process's own."""
        self.broker.start()
        os.environ.update(self.environment)
        forget_settings()
        self.broker.wipe()
        pristine.make(self.environment)
        assert schema.behind() is None

    def start(self, *words: str, ready: bool = True, **environment: str) -> Role:
        """Start a role, and wait until it works."""
        number = len(self.roles)
        role = Role(words, self.environment | environment, self.directory / f"{number}-{'-'.join(words)}.log")
        self.roles.append(role)
        if ready and words[0] == "worker":
            until(lambda: role.said("worker ready") or role.process.poll() is not None, seconds=30)
            assert role.process.poll() is None, role.log.read_text()
        return role

    def end(self) -> None:
        """Stop everything, by process id."""
        for role in self.roles:
            role.signal(signal.SIGCONT, group=True)
            role.kill()
        self.broker.stop(signal.SIGKILL)
        database.engine().dispose()
        os.environ.clear()
        os.environ.update(self._before)
        forget_settings()

    def job(self, job_id: str) -> Job:
        """The job's row as it stands."""
        return query.get(job_id, None)

    def submit(self, name: str, **kwargs: Any) -> Job:
        """Submit a job of one of the tests' or the service's tasks."""
        return submit(name, kwargs)

    def ended(self, *job_ids: str, seconds: float = 30.0) -> list[Job]:
        """The jobs, once all have ended."""
        until(lambda: all(self.job(job_id).state in ENDED for job_id in job_ids), seconds=seconds, every=0.1)
        return [self.job(job_id) for job_id in job_ids]

    def events(self, job_id: str) -> list[str]:
        """What happened to the job, in order."""
        return [event.event for event in query.events(job_id, None)]

    def jobs(self, task: str) -> Sequence[Job]:
        """All jobs of a task, newest first."""
        return query.page(None, task=task, limit=1000).jobs

    def effects(self, job_id: str) -> list[int]:
        """The numbers of the attempts whose effect on the database stayed."""
        with database.standalone() as session:
            return list(session.scalars(sqlalchemy.select(EFFECTS.c.attempt).where(EFFECTS.c.job_id == job_id)))

    def get(self, table: type[T], key: str) -> T | None:
        """A row of any table."""
        with database.standalone() as session:
            return session.get(table, key)

    def broker_depth(self, queue: str) -> int:
        """How many doorbells wait in the broker."""
        bell = Bell()
        try:
            return bell.depth(queue)
        finally:
            bell.close()

    def refused_messages(self) -> list[str]:
        """Why messages that were no jobs were refused."""
        with database.standalone() as session:
            return [row.reason for row in session.scalars(sqlalchemy.select(RefusedMessage))]

    def refused_by_broker(self) -> bool:
        """Whether the broker takes no more messages."""
        bell = Bell()
        try:
            bell.publish("00000000-0000-7000-8000-000000000000", "trials.echo", "fast")
        except Exception:
            return True
        finally:
            bell.close()
        return False

    def attempts(self, job_id: str) -> list[Mapping[str, Any]]:
        """The marks that the tests' tasks left of each attempt, outside the service's own tables."""
        path = self.directory / "marks" / job_id
        return [dict(zip(("attempt", "pid", "at"), line.split(), strict=True)) for line in _lines(path)]


def forget_settings() -> None:
    """Let the next call read the environment again."""
    doorbell.forget()
    config.settings.cache_clear()
    database.engine.cache_clear()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


__all__ = ["HEARTBEAT_SECONDS", "Role", "Stack", "free_port", "until"]

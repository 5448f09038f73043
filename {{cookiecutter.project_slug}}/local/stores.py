"""Embedded stores for one run of the service: a broker, a SQLite database, and the variables that name them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from honcho.environ import parse

from local.broker import Broker

PROJECT = Path(__file__).resolve().parent.parent


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, str]]:
    """Start a broker, make the tables, and give the variables that a command of the service needs to use them."""
    with Broker(folder / "broker") as broker:
        variables = {
            "ENVIRONMENT": "development",
            "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
            "BROKER_URL": broker.url,
            "STATE_DIR": str(folder),
        }
        service(variables, "migrate")
        yield variables


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Add `variables` to .env and this process's environment, in which `python` is then the one that runs now."""
    file = PROJECT / ".env"
    given = {**(parse(file.read_text()) if file.exists() else {}), **os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**given, "PATH": path, "PYTHONUNBUFFERED": "1", **variables}


def service(variables: Mapping[str, str], *words: str) -> str:
    """Run one command of the service, and give what it prints.

    Raises:
        CalledProcessError: if it fails; what is wrong stands on standard error.
    """
    command = [sys.executable, "-m", "service", *words]
    return subprocess.check_output(command, cwd=PROJECT, env=environment(variables), text=True)

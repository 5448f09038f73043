"""The PostgreSQL of the tests, restarted by whatever command restarts it here."""

import os
import subprocess
from collections.abc import Callable
from typing import TypeVar

import pytest

from service import database

COMMAND = "TEST_DATABASE_RESTART"

Test = TypeVar("Test", bound=Callable[..., None])


def restartable(test: Test) -> Test:
    """Run a test where it can restart the server, and while no other test uses that."""
    away = not {"TEST_DATABASE_URL", COMMAND} <= os.environ.keys()
    reason = f"needs TEST_DATABASE_URL, and {COMMAND}, the command that restarts this PostgreSQL"
    marked: Test = pytest.mark.alone(pytest.mark.skipif(away, reason=reason)(test))
    return marked


def restart() -> None:
    """Restart it, and let go of this process's own connections, which ended with it."""
    subprocess.run(os.environ[COMMAND], shell=True, check=True, capture_output=True, timeout=60)
    database.engine().dispose()

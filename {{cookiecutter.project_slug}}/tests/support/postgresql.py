"""The PostgreSQL of the tests, restarted by whatever command restarts it here."""

import os
import subprocess

import pytest

from service import database

COMMAND = "TEST_DATABASE_RESTART"

restartable = pytest.mark.skipif(
    not {"TEST_DATABASE_URL", COMMAND} <= os.environ.keys(),
    reason=f"needs TEST_DATABASE_URL, and {COMMAND}, the command that restarts this PostgreSQL",
)


def restart() -> None:
    """Restart it, and let go of this process's own connections, which ended with it."""
    subprocess.run(os.environ[COMMAND], shell=True, check=True, capture_output=True, timeout=60)
    database.engine().dispose()

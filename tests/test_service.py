"""The rendered service, installed by its own Makefile, keeps its own promises."""

import subprocess
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
@pytest.mark.parametrize("habit", ["check", "test"])
def test_its_own_habits_pass(installed: Path, habit: str) -> None:
    """Its linters and its tests; on PostgreSQL too where TEST_DATABASE_URL is set."""
    subprocess.run(["make", habit], cwd=installed, check=True)

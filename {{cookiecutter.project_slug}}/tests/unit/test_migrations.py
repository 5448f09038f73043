"""The migrations make what the models declare, so that the next one generated holds nothing but what is new."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command

from service import schema
from tests.support.stack import forget_settings


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database with nothing in it."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/service.db")
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1")
    monkeypatch.setenv("ENVIRONMENT", "test")
    forget_settings()
    yield
    forget_settings()


@pytest.mark.usefixtures("empty")
def test_after_the_last_there_is_nothing_to_generate() -> None:
    schema.upgrade()
    command.check(schema._config())


@pytest.mark.usefixtures("empty")
def test_two_that_follow_the_same_one_are_refused_with_what_joins_them(tmp_path: Path) -> None:
    root = schema.MIGRATIONS.parent
    for folder in ("service", "migrations"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    ours = 'revision, down_revision, branch_labels, depends_on = "ours", "0001", None, None\n\ndef upgrade(): ...\n'
    (tmp_path / "migrations" / "versions" / "ours.py").write_text(ours)
    migrate = [sys.executable, "-W", "ignore", "-m", "service", "migrate"]
    run = subprocess.run(migrate, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("expected migrations in one line, got: Multiple head revisions")
    assert run.stderr.endswith("; join two by `alembic merge heads`\n")

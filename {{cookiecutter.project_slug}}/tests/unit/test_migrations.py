"""The migrations make what the models declare, so that the next one generated holds nothing but what is new."""

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

"""Fixtures for all tests; each test has stores of its own, and nothing is mocked that is under test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.lanes import own_broker, own_database, pytest_collection_modifyitems, pytest_runtest_protocol
from tests.support.stack import Stack, until
from tests.support.table import (
    measured,
    pytest_runtest_logreport,
    pytest_runtest_makereport,
    pytest_terminal_summary,
    recovered,
)

__all__ = [
    "measured",
    "own_broker",
    "own_database",
    "pytest_collection_modifyitems",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_terminal_summary",
    "recovered",
]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Stores of this test's own: a real broker, and SQLite, or PostgreSQL where TEST_DATABASE_URL names one."""
    with _stack(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with both workers, for tests of one module that leave it as they find it."""
    with _stack(tmp_path_factory.mktemp("running")) as made:
        made.start("worker", "fast", ready=False)
        made.start("worker", "slow")
        until(lambda: made.roles[0].said("worker ready"))
        yield made


@contextmanager
def _stack(directory: Path) -> Iterator[Stack]:
    made = Stack(directory, os.environ.get("TEST_DATABASE_URL"))
    try:
        made.prepare()
        yield made
    finally:
        made.end()

"""Two tests at once, as `make test` and `make faults` run them: what they would share, they have apart or in turn.

On PostgreSQL each process has a database of its own; a test that is marked `alone` has the machine for itself.
"""

import fcntl
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

# As pytest-xdist names and counts its processes; without it there is one, which shares nothing with anybody.
NAME = os.environ.get("PYTEST_XDIST_WORKER")
LANE, LANES = int((NAME or "gw0").removeprefix("gw")), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

# A broker that all are given has the same queues for all, unless its URL has a `{lane}`: a virtual host for each.
BROKER, APART = "TEST_BROKER_URL", "{lane}"
ONE_BROKER = APART not in os.environ.get(BROKER, APART)


@pytest.fixture(scope="session", autouse=True)
def own_broker() -> None:
    """Let TEST_BROKER_URL name the virtual host of this process."""
    if BROKER in os.environ:
        os.environ[BROKER] = os.environ[BROKER].replace(APART, f"gw{LANE}")


@pytest.fixture(scope="session", autouse=True)
def own_database() -> Iterator[None]:
    """Let TEST_DATABASE_URL name a database of this process's own, on the same server."""
    given = os.environ.get("TEST_DATABASE_URL")
    if not (given and NAME):
        yield
        return
    url = make_url(given)
    own = f"{url.database}_{NAME}"
    _execute(given, "DROP DATABASE IF EXISTS {} WITH (FORCE)", own)
    _execute(given, "CREATE DATABASE {}", own)
    os.environ["TEST_DATABASE_URL"] = url.set(database=own).render_as_string(hide_password=False)
    yield
    _execute(given, "DROP DATABASE {} WITH (FORCE)", own)


def _execute(url: str, statement: str, database: str) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(SQL(statement).format(Identifier(database)))


def alone(item: pytest.Item) -> bool:
    """Whether no other test may run beside this one."""
    return ONE_BROKER or item.get_closest_marker("alone") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those last that run alone, so that no process waits for another before the end."""
    if NAME:
        items.sort(key=alone)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold this very file, together with other tests or alone, from before a test's fixtures until after them."""
    if not NAME:
        return (yield)
    with Path(__file__).open() as room:
        fcntl.flock(room, fcntl.LOCK_EX if alone(item) else fcntl.LOCK_SH)
        return (yield)

"""What a process has of the database: connections of its kind, and rows as the mapper would make them."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import JSON, BigInteger, Enum, Integer, Text, Uuid, update

from service import database
from service.database import POOL_TIMEOUT, Timestamp
from service.jobs import Job, State, attempts, submit
from tests.support.sentry import Sentry
from tests.support.stack import ROOT, Stack

# Of these JSON says the same as the mapper does; of another, as a number with decimals or bytes, it may not.
KINDS = {Text, Integer, BigInteger, Uuid, JSON, Timestamp, Enum}


@pytest.mark.parametrize("role", ["api", "worker-fast", "beat"])
def test_sentry_makes_no_process_one_of_greenlets(stack: Stack, sentry: Sentry, role: str) -> None:
    """It imports gevent, and connections that greenlets share are waited for fifteen times as long."""
    said = "from service import config, database, observe"
    said += f"; observe.start(config.settings({role!r}), {role!r})"
    said += f"; assert database.engine().pool.timeout() == {POOL_TIMEOUT}, database.engine().pool"
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT, env=stack.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def whole(row: Job) -> dict[str, Any]:
    """Every column of it."""
    return {column.name: getattr(row, column.name) for column in Job.__table__.columns}


def test_a_row_that_comes_as_one_value_is_what_the_mapper_would_make_of_it(stack: Stack) -> None:
    assert {type(column.type) for column in Job.__table__.columns} <= KINDS
    odd: dict[str, Any] = {"value": {"a": [None, True, 2**53 + 1, -0.5, 1e300, "☃\\u0000", {}], "": []}}
    later = datetime.now(UTC) + timedelta(days=400)
    echo = {"value": "☃"}
    made = submit("trials.echo", echo, idempotency_key="☃", expires_at=later, lock_key="'\\", unique_key="{}")
    assert whole(made) == whole(stack.job(made.id))
    with database.standalone() as session:
        session.execute(update(Job).values(kwargs=odd))
        session.commit()
    row = attempts.claim(made.id, made.task, queue="fast", worker="w", pid=2**31 - 1, hard_limit=60)
    assert row is not None
    assert (row.kwargs, row.expires_at, row.state) == (odd, later, State.RUNNING)
    assert whole(row) == whole(stack.job(made.id))
    assert [type(value) for value in whole(row).values()] == [type(each) for each in whole(stack.job(made.id)).values()]

"""Ways in which what should follow many jobs never runs, or runs twice; and that here it runs once."""

import os
import threading
import time

import pytest
from sqlalchemy import text, update

from service import database
from service.jobs import Job, State, attempts
from service.jobs.ending import end
from service.jobs.history import JOBS
from service.jobs.shapes import batches
from tests.support.stack import Stack, until
from tests.support.table import Recovered

REDUCE = ("crowds.reduce", {"title": "all"})

# On SQLite one transaction writes at a time, so that nothing ends beside anything.
POSTGRESQL = pytest.mark.skipif("TEST_DATABASE_URL" not in os.environ, reason="rows are locked on PostgreSQL alone")


def demand_one_end(stack: Stack, batch: str, *states: str) -> None:
    """Hold that what follows has run once, and found these states."""
    (done,) = stack.ended(batch, seconds=60)
    assert (done.state, done.attempt, len(stack.attempts(batch))) == (State.SUCCEEDED, 1, 1)
    assert done.result is not None
    assert [state for state, _ in done.result["of"]] == list(states)
    assert stack.events(batch).count("batch ended") == 1


def somebody_waits() -> bool:
    """Whether a transaction of the service waits for another."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.standalone() as session:
        return bool(session.scalar(text(query)))


@pytest.mark.fault("L1", "a chord whose last part is lost with its worker waits for ever (early ack)")
def test_a_worker_killed_at_the_last_job_of_a_batch(stack: Stack, recovered: Recovered) -> None:
    stack.start("worker", "fast")
    worker = stack.start("worker", "slow")
    batch = batches.submit("crowds.slow", [{"seconds": seconds} for seconds in (0, 0, 0, 2)], then=REDUCE)
    until(lambda: (found := batches.get(batch).states)["succeeded"] == 3 and found["running"] == 1)
    killed = time.monotonic()
    worker.kill()
    assert (batches.get(batch).ended, stack.job(batch).waiting_for) == (False, "batch")
    stack.start("worker", "slow")
    demand_one_end(stack, batch, *["succeeded"] * 4)
    recovered(time.monotonic() - killed)
    assert [row.losses for row in batches.results(batch)] == [0, 0, 0, 1]


@pytest.mark.fault("D5", "the last part's worker dies, and the chord's body runs never or twice")
def test_a_worker_killed_as_soon_as_the_last_job_of_a_batch_has_ended(stack: Stack) -> None:
    stack.start("worker", "fast")
    for _ in range(2):
        worker = stack.start("worker", "slow")
        batch = batches.submit("crowds.slow", [{"seconds": 0.1}] * 2, then=REDUCE)
        until(lambda batch=batch: batches.get(batch).ended, every=0.002)  # type: ignore[misc]
        worker.kill()
        assert stack.job(batch).waiting_for is None
        demand_one_end(stack, batch, "succeeded", "succeeded")


@pytest.mark.fault("L2", "a part whose process dies fails the chord: its body is a ChordError and does not run")
def test_a_batch_of_which_jobs_fail_and_kill_their_process_is_followed(stack: Stack) -> None:
    stack.start("worker", "fast")
    batch = batches.submit("trials.deadly", [{"times": 0}, {"times": 1}, {"times": 9}], then=REDUCE)
    demand_one_end(stack, batch, "succeeded", "succeeded", "failed")
    assert [row.crashes for row in batches.results(batch)] == [0, 1, 3]


@pytest.mark.fault("L3", "a chord that counts in the broker's Redis is never followed")
def test_a_batch_is_followed_although_the_broker_was_wiped(stack: Stack) -> None:
    stack.start("worker", "fast")
    stack.start("worker", "slow")
    batch = batches.submit("crowds.slow", [{"seconds": 3}] * 3, then=REDUCE)
    until(lambda: batches.get(batch).states["running"])
    stack.broker.wipe()
    demand_one_end(stack, batch, *["succeeded"] * 3)


@pytest.mark.fault("S7", "a part that waits for its brothers holds its process; a chord is followed by polling")
def test_many_that_end_at_once_are_followed_once(stack: Stack) -> None:
    for _ in range(2):
        stack.start("worker", "fast", ready=False)
    made = [batches.submit("crowds.one", [{"number": 2}] * 25, then=REDUCE) for _ in range(8)]
    for batch in made:
        demand_one_end(stack, batch, *["succeeded"] * 25)


@POSTGRESQL
@pytest.mark.fault("S7", "two that see each other unfinished, and nobody follows")
def test_two_last_jobs_that_end_in_the_same_moment(stack: Stack) -> None:
    stack.start("worker", "slow").stop()
    batch = batches.submit("crowds.one", [{"number": 1}] * 2, then=REDUCE)
    first, second = batches.results(batch)
    ended = {"state": State.SUCCEEDED, "ended_at": database.now()}
    updated, began, looked = (threading.Event() for _ in range(3))

    def elsewhere() -> None:
        with database.transaction() as there:
            there.execute(update(JOBS).where(Job.id == second.id).values(ended))
            updated.set()
            began.wait(5)
            batches.on_end(there, second)
            looked.set()

    other = threading.Thread(target=elsewhere)
    with database.transaction() as here:
        here.execute(update(JOBS).where(Job.id == first.id).values(ended))
        other.start()
        # Neither sees the other's end, and each has locked its own row.
        assert updated.wait(5)
        batches.on_end(here, first)
        began.set()
        until(lambda: looked.is_set() or somebody_waits())
    other.join(10)
    assert stack.job(batch).waiting_for is None
    assert stack.events(batch).count("batch ended") == 1


@POSTGRESQL
@pytest.mark.fault("S7", "all wait for one counter")
def test_one_that_ends_slowly_holds_up_no_other(stack: Stack) -> None:
    stack.start("worker", "slow").stop()
    batch = batches.submit("crowds.one", [{"number": 1}] * 10, then=REDUCE)
    found = list(batches.results(batch))
    for row in found[:3]:
        assert attempts.claim(row.id, row.task, queue=row.queue, worker="test", pid=1, hard_limit=60) is not None
    first, second, third = (stack.job(row.id) for row in found[:3])
    with database.transaction() as slow:
        end(slow, first, State.SUCCEEDED)
        for row in (second, third):
            with database.transaction() as session:
                session.execute(text("SET LOCAL lock_timeout = '1s'"))
                end(session, row, State.SUCCEEDED)
        assert batches.get(batch).states["succeeded"] == 2
    assert batches.get(batch).states["succeeded"] == 3

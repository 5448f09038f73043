"""What a store and two versions of the code do to work: away, rolled back, unknown, unfit, and nothing is lost."""

import os
import signal
import sqlite3
import time
from contextlib import suppress

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from service import database
from service.jobs import State, doorbell, operate, processes, submit
from service.jobs.model import Job, Lease
from tests.support.postgresql import restart, restartable
from tests.support.stack import Stack, until
from tests.support.table import Recovered


def holder() -> str:
    """Who has beat's lease."""
    with database.standalone() as session:
        lease = session.get(Lease, "beat")
        assert lease is not None
        return lease.holder


@pytest.mark.fault("L4", "the worker runs a task for an order that was never committed")
def test_a_rolled_back_transaction_leaves_no_job_and_rings_for_none(stack: Stack) -> None:
    with Session(database.engine()) as session:
        row = submit("trials.echo", {"value": "x"}, session=session)
        session.rollback()
    assert doorbell.flush(5)
    assert stack.get(Job, row.id) is None
    assert stack.broker_depth("fast") == 0


@pytest.mark.fault("L6", "discarded with a log line")
def test_a_job_that_this_worker_does_not_know_waits_for_one_that_does(stack: Stack, recovered: Recovered) -> None:
    old = stack.start("worker", "fast", ready=False, TRIALS="")
    until(lambda: old.said("worker ready"), seconds=30)
    row = stack.submit("trials.echo", value="new")
    doorbell.flush(5)
    until(lambda: stack.broker_depth("fast") == 0)
    until(lambda: stack.job(row.id).waiting_for == "task")
    assert stack.job(row.id).state is State.QUEUED
    assert old.process.poll() is None
    deployed = time.monotonic()
    old.stop()
    stack.start("worker", "fast")
    (done,) = stack.ended(row.id, seconds=45)
    recovered(time.monotonic() - deployed)
    assert done.state is State.SUCCEEDED


@pytest.mark.fault("L6", "TypeError, lost with the message")
def test_arguments_that_no_longer_fit_are_a_dead_letter_that_can_be_retried(stack: Stack) -> None:
    with database.transaction() as session:
        row = submit("trials.echo", {"value": "x"}, session=session)
        session.execute(update(Job).where(Job.id == row.id).values(kwargs={"old_name": "x"}))
    stack.start("worker", "fast")
    (done,) = stack.ended(row.id)
    assert (done.state, done.error_type, done.attempt) == (State.FAILED, "arguments", 1)
    assert "value" in (done.error_message or "")
    with database.transaction() as session:
        found = session.get(Job, row.id)
        assert found is not None
        found.kwargs = {"value": "x"}
    operate.retry(row.id, by="test", client=None)
    assert stack.ended(row.id)[0].state is State.SUCCEEDED


@pytest.mark.fault("L10", "periodic work stops with the beat, or runs twice with two (measured: 12 instead of 6)")
def test_a_second_beat_waits_and_takes_over_when_the_first_is_gone(stack: Stack) -> None:
    first = stack.start("beat")
    until(lambda: f":{first.pid}:" in holder())
    second = stack.start("beat")
    until(lambda: (stack.directory / "beat.heartbeat").exists())
    assert f":{first.pid}:" in holder()
    first.signal(signal.SIGKILL)
    until(lambda: f":{second.pid}:" in holder(), seconds=40)
    assert second.stop() == 0


@pytest.mark.fault("L10", "its lock stands until it expires, where there is one")
def test_a_beat_that_is_told_to_stop_ends_at_once_and_lets_go_of_its_lease(stack: Stack, recovered: Recovered) -> None:
    beat = stack.start("beat")
    until(lambda: f":{beat.pid}:" in holder())
    assert not processes.hold("beat", "another")
    told = time.monotonic()
    assert beat.stop(5) == 0
    recovered(time.monotonic() - told)
    assert processes.hold("beat", "another")


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="PostgreSQL is restarted instead")
@pytest.mark.fault("L11", "the job is lost, or stuck as running")
@pytest.mark.parametrize("moment", ["claim", "finish"])
def test_a_store_that_is_away_at_a_claim_or_a_finish_loses_nothing(
    stack: Stack, recovered: Recovered, moment: str
) -> None:
    stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=1)
    if moment == "finish":
        until(lambda: stack.attempts(row.id))
    # The one writer's lock stands for the store.
    lock = sqlite3.connect(stack.directory / "service.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    time.sleep(database.SQLITE_BUSY_TIMEOUT + 3)
    lock.execute("ROLLBACK")
    lock.close()
    back = time.monotonic()
    (done,) = stack.ended(row.id, seconds=45)
    recovered(time.monotonic() - back)
    assert done.state is State.SUCCEEDED


@restartable
@pytest.mark.fault("L11", "the job is lost, or stuck as running")
@pytest.mark.parametrize("moment", ["claim", "finish"])
def test_a_database_that_restarts_in_the_middle_of_a_claim_or_a_finish_loses_nothing(
    stack: Stack, recovered: Recovered, moment: str
) -> None:
    row = stack.submit("trials.late_effect", seconds=1)
    if moment == "finish":
        stack.start("worker", "slow", QUEUE_SLOW_BACKOFF="1")
        until(lambda: stack.attempts(row.id))
    with suppress(OperationalError), database.transaction() as session:
        # Whoever claims or finishes the job waits here, and so is in the middle of it when the database goes.
        session.execute(select(Job).where(Job.id == row.id).with_for_update())
        if moment == "claim":
            stack.start("worker", "slow")
        until(lambda: waits_for_a_row(stack))
        restart()
        back = time.monotonic()
    (done,) = stack.ended(row.id, seconds=45)
    recovered(time.monotonic() - back)
    assert (done.state, stack.effects(row.id)) == (State.SUCCEEDED, [done.attempt])
    assert len(stack.attempts(row.id)) == (1 if moment == "claim" else 2)


def waits_for_a_row(stack: Stack) -> bool:
    """Whether an UPDATE of a job waits for a lock."""
    waits = "wait_event_type = 'Lock' AND query LIKE 'UPDATE jobs%' AND datname = current_database()"
    with database.standalone() as session:
        return bool(session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waits}")))


@pytest.mark.fault("L8", "a log line")
def test_a_dead_letter_keeps_its_arguments_its_error_and_every_attempt(stack: Stack) -> None:
    stack.start("worker", "fast", QUEUE_FAST_MAX_RETRIES="1", QUEUE_FAST_BACKOFF="1")
    row = stack.submit("trials.flaky", failures=5)
    (dead,) = stack.ended(row.id)
    assert (dead.state, dead.failures, dead.attempt) == (State.FAILED, 2, 2)
    assert dead.kwargs == {"failures": 5}
    assert (dead.error_type, dead.error_message) == ("UpstreamError", "503 from upstream")
    assert "trials.py" in (dead.traceback or "")
    assert stack.events(row.id) == ["accepted", "started", "retrying", "started", "failed"]

"""Doorbells that nobody answers are bounded, those lost or left out are rung for again, and no time is out of reach."""

import math
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kombu import Connection
from sqlalchemy import func, select, update

from service import database
from service.config import settings
from service.database import new_id
from service.jobs import Job, State, attempts, doorbell, operate, reconcile, submit
from service.jobs.doorbell import Bell, broker_queue
from service.webhooks import orders
from service.webhooks.model import Message
from tests.support.stack import Stack, until


def cancelled(name: str, **kwargs: object) -> None:
    """Leave a doorbell that nobody answers."""
    operate.cancel(submit(name, kwargs).id, by="test", client=None)


def lost(queue: str) -> bool:
    """Take the oldest message out of the broker's queue; gives whether there was one."""
    with Connection(settings().broker_url.get_secret_value()) as connection:
        return connection.default_channel.basic_get(broker_queue(queue).name, no_ack=True) is not None


def test_two_workers_of_one_queue_on_one_host_work_side_by_side(quiet: Stack) -> None:
    for _ in range(2):
        quiet.start("worker", "slow", QUEUE_SLOW_CONCURRENCY="1", QUEUE_SLOW_PREFETCH="1")
    jobs = [quiet.submit("trials.sleep", seconds=2) for _ in range(2)]
    until(lambda: len({quiet.job(job.id).worker for job in jobs} - {None}) == 2)
    assert {job.state for job in quiet.ended(*(job.id for job in jobs))} == {State.SUCCEEDED}


def test_a_broker_that_is_away_leaves_the_other_sockets_of_the_process_alone(
    quiet: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float | None] = []
    monkeypatch.setattr(socket, "setdefaulttimeout", told.append)
    bell = Bell()
    assert bell.publish(new_id(), "trials.echo", "fast")
    quiet.broker.stop()
    with pytest.raises(bell._connection.connection_errors):
        bell.publish(new_id(), "trials.echo", "fast")
    bell.close()
    assert told == []


def test_what_a_process_did_not_ring_before_it_was_to_forget_it_rings_never(stack: Stack) -> None:
    before = threading.enumerate()
    stack.broker.stop()
    stack.submit("trials.echo", value="before")
    (ringer,) = (thread for thread in threading.enumerate() if thread.name == "doorbell" and thread not in before)
    doorbell.forget()
    until(lambda: not ringer.is_alive())


@pytest.mark.slow
def test_a_queue_holds_so_many_doorbells_and_the_jobs_of_the_others_are_done_as_well(
    quiet: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "MAX_DOORBELLS", 10)
    for number in range(15):
        cancelled("trials.echo", value=f"{number}")
    jobs = [quiet.submit("trials.echo", value=f"{number}") for number in range(15)]
    assert doorbell.flush(10)
    until(lambda: quiet.broker_depth("fast") == 10)
    quiet.start("worker", "fast")
    assert {job.state for job in quiet.ended(*(job.id for job in jobs))} == {State.SUCCEEDED}


def test_a_due_job_whose_doorbell_finds_no_room_is_still_due(quiet: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "MAX_DOORBELLS", 1)
    soon = datetime.now(UTC) + timedelta(seconds=30)
    jobs = [submit("trials.echo", {"value": f"{number}"}, run_at=soon) for number in range(3)]
    with database.transaction() as session:
        session.execute(update(Job).values(run_at=database.now()))
    reconcile.sweep("test", Bell(), may_bury=False)
    until(lambda: quiet.broker_depth("fast") == 1)
    assert [quiet.job(job.id).rung_at is None for job in jobs].count(True) == 2


@pytest.mark.slow
def test_a_lost_doorbell_is_missed_among_those_of_jobs_that_are_gone(quiet: Stack) -> None:
    job = quiet.submit("trials.echo", value="x")
    assert doorbell.flush(10)
    until(lambda: lost("fast"))
    for number in range(12):
        cancelled("trials.echo", value=f"{number}")
    assert doorbell.flush(10)
    until(lambda: quiet.broker_depth("fast") == 12)
    quiet.start("worker", "slow")
    until(lambda: quiet.broker_depth("fast") == 13)
    quiet.start("worker", "fast")
    assert quiet.ended(job.id)[0].state is State.SUCCEEDED


def test_slow_jobs_that_fall_due_at_once_keep_no_fast_one_waiting(
    quiet: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were due before it, and are more than one sweep rings for."""
    monkeypatch.setattr(reconcile, "SWEEP_ROWS", 5)
    monkeypatch.setattr(reconcile, "RING_SECONDS", 60)
    later = datetime.now(UTC) + timedelta(days=1)
    slow = [submit("trials.sleep", {"seconds": 60}, run_at=later).id for _ in range(20)]
    submit("trials.echo", {"value": "x"}, run_at=later)
    with database.transaction() as session:
        session.execute(update(Job).values(run_at=database.now()))
        session.execute(update(Job).where(Job.id.in_(slow)).values(run_at=database.now(-1)))
    reconcile.sweep("test", Bell(), may_bury=False)
    until(lambda: (quiet.broker_depth("slow"), quiet.broker_depth("fast")) == (5, 1))


def test_a_delivery_whose_message_made_way_for_newer_ones_ends_quietly(
    quiet: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MAX_MESSAGES", 1)
    job = submit("trials.sleep", {"seconds": 60}, client="shop", callback_url="http://127.0.0.1:9/hook")
    operate.cancel(job.id, by="shop", client="shop")
    operate.retry(job.id, by="shop", client="shop")
    operate.cancel(job.id, by="shop", client="shop")
    with database.standalone() as session:
        assert session.scalar(select(func.count()).select_from(Message)) == 1
    quiet.start("worker", "fast")
    (first,) = quiet.ended(quiet.jobs(orders.TASK)[-1].id)
    assert (first.state, first.attempt, first.error_type) == (State.SUCCEEDED, 1, None)


def test_a_slow_broker_keeps_the_reconciler_for_a_moment_and_the_rest_is_rung_later(quiet: Stack) -> None:
    """The heartbeat waits for it: minutes for a thousand doorbells would cost the jobs that run beside."""

    class Slow(Bell):
        def publish(self, *call: Any) -> bool:
            time.sleep(0.05)
            return super().publish(*call)

    later = datetime.now(UTC) + timedelta(days=1)
    for _ in range(40):
        submit("trials.sleep", {"seconds": 60}, run_at=later)
        submit("trials.echo", {"value": "x"}, run_at=later)
    with database.transaction() as session:
        session.execute(update(Job).values(run_at=database.now()))

    def rung() -> int:
        assert reconcile.sweep("test", bell, may_bury=False)
        with database.standalone() as session:
            return session.scalar(select(func.count()).where(Job.rung_at.is_not(None))) or 0

    bell = Slow()
    try:
        # One second for both queues together; one each would be twice as many.
        assert 1 <= rung() <= 21
        until(lambda: rung() == 80)
    finally:
        bell.close()


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 1e12, -math.inf])
def test_no_job_is_put_off_to_a_time_that_cannot_be_read(stack: Stack, seconds: float) -> None:
    row = stack.submit("trials.echo", value="x")
    mine = attempts.claim(row.id, row.task, queue=row.queue, worker="w", pid=1, hard_limit=30)
    assert mine is not None
    attempts.postpone(mine, "a third party", seconds)
    assert stack.job(row.id).state is State.QUEUED

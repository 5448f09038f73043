"""Ways in which a Celery service loses work, and that this one does not."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
import redis
from sqlalchemy.orm import Session

from service import NAME, database
from service.jobs import State, doorbell, operate, submit
from service.jobs.model import Job, Lease
from tests.faults.conftest import Recovered
from tests.support.stack import HEARTBEAT_SECONDS, ROOT, Stack, until


def holder() -> str:
    """Who has beat's lease."""
    with database.standalone() as session:
        lease = session.get(Lease, "beat")
        assert lease is not None
        return lease.holder


LOST = "the job is lost, or hidden until the visibility timeout (3600 s)"


@pytest.mark.fault("L1", f"{LOST}; measured 97-101 s at a timeout of 10 s")
def test_a_job_whose_whole_worker_is_killed_is_finished_by_another(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=1.5)
    until(lambda: stack.attempts(row.id))
    killed = time.monotonic()
    worker.kill()
    stack.start("worker", "slow")
    (done,) = stack.ended(row.id, seconds=45)
    recovered(time.monotonic() - killed)
    assert (done.state, done.attempt, done.losses, done.failures) == (State.SUCCEEDED, 2, 1, 0)


@pytest.mark.fault("L2", "acked as failed, or with reject_on_worker_lost run for ever (4 times in 12 s, no cap)")
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_job_whose_process_dies_runs_again_at_once(stack: Stack, recovered: Recovered, how: str) -> None:
    stack.start("worker", "fast")
    row = stack.submit("trials.deadly", times=1, how=how)
    (done,) = stack.ended(row.id)
    first, second = stack.attempts(row.id)
    recovered(float(second["at"]) - float(first["at"]))
    assert (done.state, done.attempt, done.crashes, done.failures) == (State.SUCCEEDED, 2, 1, 0)


@pytest.mark.fault("L2", "run for ever, or lost")
def test_a_job_that_kills_its_process_every_time_is_poison_after_three(stack: Stack) -> None:
    stack.start("worker", "fast")
    row = stack.submit("trials.deadly")
    neighbours = [stack.submit("trials.echo", value=str(number)) for number in range(30)]
    (done,) = stack.ended(row.id)
    assert (done.state, done.error_type, done.crashes) == (State.FAILED, "poison", 3)
    assert len(stack.attempts(row.id)) == 3
    assert all(job.state is State.SUCCEEDED for job in stack.ended(*(job.id for job in neighbours)))


@pytest.mark.fault("L3", "what was queued is gone, silently")
def test_jobs_survive_a_wiped_broker(stack: Stack, recovered: Recovered) -> None:
    jobs = [stack.submit("trials.echo", value=str(number)) for number in range(200)]
    assert doorbell.flush(10)
    wiped = time.monotonic()
    with redis.Redis(port=stack.broker.port) as client:
        client.flushall()
    stack.start("worker", "fast")
    done = stack.ended(*(job.id for job in jobs), seconds=60)
    recovered(time.monotonic() - wiped)
    assert {(job.state, job.attempt) for job in done} == {(State.SUCCEEDED, 1)}


@pytest.mark.fault("L4", "ghost tasks, or orders never worked")
def test_a_process_killed_between_commit_and_publish_loses_nothing(stack: Stack, recovered: Recovered) -> None:
    os.kill(stack.broker.pid, signal.SIGSTOP)
    code = 'from service.jobs import submit; print(submit("trials.echo", {"value": "x"}).id, flush=True); input()'
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None
        job_id = caller.stdout.readline().strip()
        caller.kill()
    os.kill(stack.broker.pid, signal.SIGCONT)
    killed = time.monotonic()
    stack.start("worker", "fast")
    (done,) = stack.ended(job_id, seconds=45)
    recovered(time.monotonic() - killed)
    assert done.state is State.SUCCEEDED


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
        row.kwargs = {"old_name": "x"}
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


@pytest.mark.fault("L7", "SIGTERM waits for ever, or the platform kills at 30 s")
def test_sigterm_lets_a_short_job_end_and_hands_a_long_one_back(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "slow", QUEUE_SLOW_GRACE="3")
    short, long = stack.submit("trials.sleep", seconds=1.5), stack.submit("trials.sleep", seconds=8)
    until(lambda: stack.attempts(short.id) and stack.attempts(long.id))
    stopped = time.monotonic()
    assert worker.stop(10) == 0
    assert time.monotonic() - stopped < 8
    assert stack.job(short.id).state is State.SUCCEEDED
    assert stack.job(long.id).state is State.QUEUED
    stack.start("worker", "slow")
    (done,) = stack.ended(long.id)
    recovered(time.monotonic() - stopped)
    assert (done.state, done.attempt, done.losses, done.crashes) == (State.SUCCEEDED, 2, 0, 0)


@pytest.mark.fault("L9", "nobody notices a worker that consumes nothing")
def test_a_restarted_broker_is_consumed_again_by_an_idle_worker(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "fast")
    stack.broker.stop(signal.SIGKILL)
    time.sleep(HEARTBEAT_SECONDS * 4)
    stack.broker.start()
    back = time.monotonic()
    row = stack.submit("trials.echo", value="after")
    (done,) = stack.ended(row.id, seconds=45)
    recovered(time.monotonic() - back)
    assert done.state is State.SUCCEEDED
    assert worker.process.poll() is None


@pytest.mark.fault("L9", "its jobs wait for it for ever")
def test_a_frozen_worker_loses_its_jobs_to_another(stack: Stack, recovered: Recovered) -> None:
    frozen = stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=2)
    until(lambda: stack.attempts(row.id))
    frozen.signal(signal.SIGSTOP, group=True)
    began = time.monotonic()
    stack.start("worker", "slow")
    (done,) = stack.ended(row.id, seconds=45)
    recovered(time.monotonic() - began)
    assert (done.state, done.attempt, done.losses) == (State.SUCCEEDED, 2, 1)


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


@pytest.mark.fault("L11", "the job is lost, or stuck as running")
@pytest.mark.parametrize("moment", ["claim", "finish"])
def test_a_store_that_is_away_at_a_claim_or_a_finish_loses_nothing(
    stack: Stack, recovered: Recovered, moment: str
) -> None:
    if "sqlite" not in stack.environment["DATABASE_URL"]:
        pytest.skip("the restarted PostgreSQL has tests of its own")
    stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=1)
    if moment == "finish":
        until(lambda: stack.attempts(row.id))
    lock = sqlite3.connect(stack.directory / "service.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    time.sleep(database.SQLITE_BUSY_TIMEOUT + 3)
    lock.execute("ROLLBACK")
    lock.close()
    back = time.monotonic()
    (done,) = stack.ended(row.id, seconds=45)
    recovered(time.monotonic() - back)
    assert done.state is State.SUCCEEDED


@pytest.mark.fault("L13", "the task is dropped, even with late ack")
def test_a_job_that_retries_while_the_broker_is_down_is_not_dropped(stack: Stack, recovered: Recovered) -> None:
    stack.start("worker", "fast")
    row = stack.submit("trials.flaky", failures=3)
    until(lambda: stack.attempts(row.id))
    stack.broker.stop(signal.SIGKILL)
    until(lambda: stack.job(row.id).state is State.RETRYING)
    time.sleep(2)
    stack.broker.start()
    back = time.monotonic()
    (done,) = stack.ended(row.id, seconds=90)
    recovered(time.monotonic() - back)
    assert (done.state, done.failures) == (State.SUCCEEDED, 3)


@pytest.mark.fault("L14", "the worker's main process exits, and the next one's (4 of 4)")
def test_a_task_out_of_memory_costs_its_own_attempt_only(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    row = stack.submit("trials.deadly", how="memory")
    (done,) = stack.ended(row.id)
    assert (done.state, done.error_type, done.crashes) == (State.FAILED, "poison", 3)
    assert worker.process.poll() is None


@pytest.mark.fault("L15", "the worker exits with an AttributeError (Celery 5.7.0, 5 of 5)")
def test_a_redis_that_restarts_in_mid_job_ends_no_worker(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=5)
    until(lambda: stack.attempts(row.id))
    stack.broker.stop(signal.SIGKILL)
    time.sleep(1)
    stack.broker.start()
    back = time.monotonic()
    after = stack.submit("trials.sleep", seconds=0)
    done = stack.ended(row.id, after.id, seconds=45)
    recovered(time.monotonic() - back)
    assert {(job.state, job.attempt) for job in done} == {(State.SUCCEEDED, 1)}
    assert worker.process.poll() is None


@pytest.mark.fault("L17", "acked, never retried, and signalled twice")
@pytest.mark.parametrize("swallow", [True, False])
def test_an_attempt_over_its_limit_ends_and_is_recorded_once(stack: Stack, swallow: bool) -> None:
    stack.start("worker", "fast")
    row = stack.submit("trials.stubborn", swallow=swallow)
    (done,) = stack.ended(row.id)
    assert (done.state, done.error_type, done.failures, done.crashes) == (State.FAILED, "timeout", 1, 0)
    assert stack.events(row.id) == ["accepted", "started", "failed"]


@pytest.mark.fault("L5", "apply_async blocks for seconds to for ever, and the API with it")
@pytest.mark.fault("S20", "publishing to a frozen Redis blocks over 60 s")
@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_broker_that_is_away_costs_submitting_no_time(
    stack: Stack, recovered: Recovered, how: signal.Signals
) -> None:
    stack.submit("trials.echo", value="warm")
    assert doorbell.flush(5)
    os.kill(stack.broker.pid, how)
    took = []
    jobs = []
    for number in range(50):
        began = time.monotonic()
        jobs.append(stack.submit("trials.echo", value=str(number)))
        took.append(time.monotonic() - began)
    assert max(took) < 0.5
    if how is signal.SIGSTOP:
        os.kill(stack.broker.pid, signal.SIGCONT)
    else:
        stack.broker.stop()
        stack.broker.start()
    back = time.monotonic()
    stack.start("worker", "fast")
    stack.ended(*(job.id for job in jobs), seconds=60)
    recovered(time.monotonic() - back)


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


@pytest.mark.fault(
    "L12", "6 of 20,000 lost in 20 kill -9, 4 of 60,000 in 50 SIGTERMs, 4 of 20,000 in 40 cut connections"
)
@pytest.mark.parametrize("how", ["kill", "stop", "cut"])
def test_workers_that_come_and_go_under_load_lose_and_double_nothing(
    stack: Stack, recovered: Recovered, how: str
) -> None:
    jobs = [stack.submit("trials.echo", value=str(number)) for number in range(300)]
    began = time.monotonic()
    worker = stack.start("worker", "fast")
    for _ in range(3):
        until(lambda: stack.broker_depth("fast") < 250 or all(stack.attempts(job.id) for job in jobs), seconds=30)
        if how == "cut":
            with redis.Redis(port=stack.broker.port) as client:
                client.client_kill_filter(_type="normal")
            continue
        worker.kill() if how == "kill" else worker.stop()
        worker = stack.start("worker", "fast")
    done = stack.ended(*(job.id for job in jobs), seconds=90)
    recovered(time.monotonic() - began)
    assert {job.state for job in done} == {State.SUCCEEDED}
    assert all(len(stack.attempts(job.id)) == job.attempt for job in done)


@pytest.mark.fault("L16", "swallowed with no signal, or the worker exits")
@pytest.mark.parametrize("garbage", ["not json", "{}", '{"body": "bm90IGpzb24=", "content-type": "application/json"}'])
def test_garbage_in_the_queue_ends_no_worker(stack: Stack, garbage: str) -> None:
    worker = stack.start("worker", "fast")
    with redis.Redis(port=stack.broker.port) as client:
        client.lpush(f"{NAME}.fast", garbage)
        until(lambda: client.llen(f"{NAME}.fast") == 0)
    row = stack.submit("trials.echo", value="after")
    (done,) = stack.ended(row.id, seconds=10)
    assert done.state is State.SUCCEEDED
    assert worker.process.poll() is None
    assert until(stack.refused_messages)


@pytest.mark.fault("L18", "a success recorded as FAILURE")
def test_a_job_that_ends_while_the_broker_is_away_has_succeeded(stack: Stack) -> None:
    stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=2)
    until(lambda: stack.attempts(row.id))
    stack.broker.stop(signal.SIGKILL)
    (done,) = stack.ended(row.id)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 1)


@pytest.mark.fault("L19", "the consumer exits, and the message in its hand is gone")
def test_a_full_redis_delays_jobs_and_loses_none(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "fast")
    with redis.Redis(port=stack.broker.port) as client:
        client.config_set("maxmemory", "1")
        jobs = [stack.submit("trials.echo", value=str(number)) for number in range(20)]
        until(lambda: stack.refused_by_broker(), seconds=20)
        client.config_set("maxmemory", "0")
    back = time.monotonic()
    if worker.process.poll() is not None:
        stack.start("worker", "fast")
    done = stack.ended(*(job.id for job in jobs), seconds=60)
    recovered(time.monotonic() - back)
    assert {(job.state, job.attempt) for job in done} == {(State.SUCCEEDED, 1)}

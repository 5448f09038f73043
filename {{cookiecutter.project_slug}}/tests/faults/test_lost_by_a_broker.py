"""What a broker does to work: it is away, restarts, is wiped, is full, and loses nothing."""

import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
import redis

from service.jobs import State, doorbell
from tests.support.front import Front
from tests.support.stack import HEARTBEAT_SECONDS, ROOT, Stack, until
from tests.support.table import Recovered


@pytest.mark.fault("L3", "what was queued is gone, silently")
def test_jobs_survive_a_wiped_broker(stack: Stack, recovered: Recovered) -> None:
    jobs = [stack.submit("trials.echo", value=str(number)) for number in range(200)]
    assert doorbell.flush(10)
    wiped = time.monotonic()
    stack.broker.wipe()
    stack.start("worker", "fast")
    done = stack.ended(*(job.id for job in jobs), seconds=60)
    recovered(time.monotonic() - wiped)
    assert {(job.state, job.attempt) for job in done} == {(State.SUCCEEDED, 1)}


@pytest.mark.fault("L4", "ghost tasks, or orders never worked")
def test_a_process_killed_between_commit_and_publish_loses_nothing(stack: Stack, recovered: Recovered) -> None:
    stack.broker.freeze()
    code = 'from service.jobs import submit; print(submit("trials.echo", {"value": "x"}).id, flush=True); input()'
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None
        job_id = caller.stdout.readline().strip()
        caller.kill()
    stack.broker.thaw()
    killed = time.monotonic()
    stack.start("worker", "fast")
    (done,) = stack.ended(job_id, seconds=45)
    recovered(time.monotonic() - killed)
    assert done.state is State.SUCCEEDED


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


@pytest.mark.slow
@pytest.mark.fault("L9", "nobody notices: both ends wait for the other")
def test_a_connection_that_is_gone_without_a_word_is_made_anew(stack: Stack, recovered: Recovered) -> None:
    url = urlsplit(stack.environment["BROKER_URL"])
    with Front(url.port or 0) as front:
        way = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{front.port}")).geturl()
        worker = stack.start("worker", "fast", BROKER_URL=way)
        stack.ended(stack.submit("trials.echo", value="before").id)
        front.lose()
        lost = time.monotonic()
        row = stack.submit("trials.echo", value="after")
        (done,) = stack.ended(row.id, seconds=45)
        recovered(time.monotonic() - lost)
        assert (done.state, worker.process.poll()) == (State.SUCCEEDED, None)


@pytest.mark.fault("L13", "the task is dropped, even with late ack")
def test_a_job_that_retries_while_the_broker_is_down_is_not_dropped(stack: Stack, recovered: Recovered) -> None:
    stack.start("worker", "fast")
    row = stack.submit("trials.flaky", failures=2)
    until(lambda: stack.attempts(row.id))
    stack.broker.stop(signal.SIGKILL)
    until(lambda: stack.job(row.id).state is State.RETRYING)
    time.sleep(2)
    stack.broker.start()
    back = time.monotonic()
    (done,) = stack.ended(row.id, seconds=90)
    recovered(time.monotonic() - back)
    assert (done.state, done.failures) == (State.SUCCEEDED, 2)


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


@pytest.mark.alone
@pytest.mark.fault("L5", "apply_async blocks for seconds to for ever, and the API with it")
@pytest.mark.fault("S20", "publishing to a frozen Redis blocks over 60 s")
@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_a_broker_that_is_away_costs_submitting_no_time(stack: Stack, recovered: Recovered, how: str) -> None:
    stack.submit("trials.echo", value="warm")
    assert doorbell.flush(5)
    stack.broker.freeze() if how == "frozen" else stack.broker.stop(signal.SIGKILL)
    took = []
    jobs = []
    for number in range(50):
        began = time.monotonic()
        jobs.append(stack.submit("trials.echo", value=str(number)))
        took.append(time.monotonic() - began)
    assert max(took) < 0.5
    stack.broker.thaw() if how == "frozen" else stack.broker.start()
    back = time.monotonic()
    stack.start("worker", "fast")
    stack.ended(*(job.id for job in jobs), seconds=60)
    recovered(time.monotonic() - back)


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
    for most in (250, 150):
        until(lambda: stack.broker_depth("fast") < most or all(stack.attempts(job.id) for job in jobs), seconds=30)  # noqa: B023
        if how == "cut":
            stack.broker.cut()
            continue
        worker.kill() if how == "kill" else worker.stop()
        worker = stack.start("worker", "fast")
    done = stack.ended(*(job.id for job in jobs), seconds=90)
    recovered(time.monotonic() - began)
    assert {job.state for job in done} == {State.SUCCEEDED}
    for job in done:
        # An attempt may have been killed before it left its mark; without another attempt there is no second mark.
        assert len(stack.attempts(job.id)) <= job.attempt
        assert stack.events(job.id).count("succeeded") == 1


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

"""Ways in which a Celery service starves and stalls, and that this one does not."""

import re
import statistics
import time

import pytest
from sqlalchemy import make_url

from local.broker import HOST
from service.jobs import State, query
from tests.integration.test_commands import command
from tests.support.front import Front
from tests.support.stack import TRIALS, Stack, until
from tests.support.table import Recovered


@pytest.mark.fault("S1", "waits for all of the slow ones")
def test_a_fast_job_does_not_wait_behind_slow_ones(stack: Stack, recovered: Recovered) -> None:
    stack.start("worker", "slow", ready=False)
    stack.start("worker", "fast")
    slow = [stack.submit("trials.sleep", seconds=600) for _ in range(50)]
    until(lambda: sum(stack.job(row.id).state is State.RUNNING for row in slow) == 2, seconds=60)
    waits = []
    for number in range(20):
        (fast,) = stack.ended(stack.submit("trials.echo", value=str(number)).id, seconds=60)
        assert fast.started_at is not None
        waits.append((fast.started_at - fast.created_at).total_seconds())
    recovered(statistics.median(waits))
    assert sum(stack.job(row.id).state is State.QUEUED for row in slow) == 48


@pytest.mark.fault("S2", "eight short tasks waited 28.3 s behind two long ones, beside an idle worker")
def test_a_busy_worker_hoards_nothing_that_an_idle_one_could_do(stack: Stack, recovered: Recovered) -> None:
    stack.start("worker", "slow", QUEUE_SLOW_CONCURRENCY="1")
    long = stack.submit("trials.sleep", seconds=600)
    until(lambda: stack.attempts(long.id))
    # With messages there before the idle worker is, the busy one has every chance to take them.
    short = [stack.submit("trials.sleep", seconds=0.1) for _ in range(8)]
    stack.start("worker", "slow", QUEUE_SLOW_CONCURRENCY="1")
    began = time.monotonic()
    stack.ended(*(row.id for row in short), seconds=60)
    recovered(time.monotonic() - began)
    assert stack.job(long.id).state is State.RUNNING


@pytest.mark.fault("S3", "a hung call holds a worker for ever")
@pytest.mark.fault("S4", "a swallowed soft limit lets the task go on")
def test_a_task_that_hangs_and_swallows_its_soft_limit_is_stopped_by_the_hard_one(
    stack: Stack, recovered: Recovered
) -> None:
    stack.start("worker", "fast", QUEUE_FAST_CONCURRENCY="1")
    hung = stack.submit("trials.stubborn")
    began = time.monotonic()
    after = stack.submit("trials.echo", value="after")
    done, _ = stack.ended(hung.id, after.id)
    recovered(time.monotonic() - began)
    assert (done.state, done.error_type) == (State.FAILED, "timeout")
    assert "2" in (done.error_message or "")


@pytest.mark.fault("S5", "all retry together")
def test_retries_against_a_dead_upstream_are_spread(stack: Stack) -> None:
    stack.start("worker", "fast")
    jobs = [stack.submit("trials.flaky", failures=99) for _ in range(100)]
    until(lambda: all(stack.job(row.id).failures for row in jobs), seconds=30)
    waits = [
        float(found.group(1))
        for row in jobs
        for event in query.events(row.id, None)
        if event.event == "retrying" and (found := re.match(r"in ([\d.]+) s", event.message or ""))
    ][:100]
    assert min(waits) >= 1.0
    assert max(waits) - min(waits) > 0.5


@pytest.mark.fault("S7", "deadlock, once every process waits")
def test_a_task_that_waits_for_another_is_refused(stack: Stack) -> None:
    stack.start("worker", "fast", QUEUE_FAST_CONCURRENCY="1")
    (done,) = stack.ended(stack.submit("trials.blocks", how="send_task").id)
    assert (done.state, done.error_type, done.failures) == (State.FAILED, "RuntimeError", 1)
    assert "Never call result.get() within a task!" in (done.error_message or "")


@pytest.mark.fault("S7", "deadlock, once every process waits")
def test_a_plain_call_has_no_result_so_that_asking_for_it_waits_for_nothing(stack: Stack) -> None:
    # The one process would wait for itself.
    stack.start("worker", "fast", QUEUE_FAST_CONCURRENCY="1")
    (done,) = stack.ended(stack.submit("trials.blocks", how="delay").id)
    assert (done.state, done.result, done.failures) == (State.SUCCEEDED, None, 0)


@pytest.mark.fault("S10", "50 workers make 50 queries a second, for nothing")
def test_an_idle_stack_makes_less_than_one_query_a_second(stack: Stack) -> None:
    if "sqlite" in stack.environment["DATABASE_URL"]:
        pytest.skip("there is no connection to SQLite that could be counted")
    url = make_url(stack.environment["DATABASE_URL"])
    with Front(url.port or 5432, host=url.host or HOST) as front:
        counted = url.set(host="127.0.0.1", port=front.port).render_as_string(hide_password=False)
        for words in (("worker", "fast"), ("worker", "slow"), ("beat",)):
            stack.start(*words, HEARTBEAT_SECONDS="10", DATABASE_URL=counted)
        until(lambda: (stack.directory / "beat.heartbeat").exists())
        time.sleep(2)
        before = front.requests
        time.sleep(10)
        assert 0 < front.requests - before < 10


@pytest.mark.fault("S12", "memory grows until the system kills something")
def test_a_leaking_task_gets_a_new_process_before_it_hurts(stack: Stack) -> None:
    stack.start("worker", "fast", QUEUE_FAST_CONCURRENCY="1", QUEUE_FAST_MAX_MEMORY_PER_CHILD="150000")
    jobs = [stack.submit("trials.leak") for _ in range(6)]
    done = stack.ended(*(row.id for row in jobs))
    assert {row.state for row in done} == {State.SUCCEEDED}
    assert len({row.result for row in done}) > 1


@pytest.mark.fault("S13", "corrupt sockets, shared sessions")
def test_processes_that_were_forked_share_no_connection(stack: Stack) -> None:
    stack.start("worker", "fast")
    jobs = [stack.submit("trials.counts", times=200) for _ in range(8)]
    done = stack.ended(*(row.id for row in jobs), seconds=60)
    assert {row.state for row in done} == {State.SUCCEEDED}
    assert len({row.result for row in done}) > 1


@pytest.mark.fault("S15", "threads and solo keep no limit at all")
def test_a_pool_that_keeps_no_limits_is_refused(stack: Stack) -> None:
    refused = command(stack, "worker", "fast", QUEUE_FAST_POOL="threads")
    assert refused.returncode == 2
    assert "QUEUE_FAST_POOL: " in refused.stderr
    assert "prefork" in refused.stderr


@pytest.mark.fault("S21", "says ready, answers pings and runs nothing")
def test_a_worker_whose_tasks_do_not_import_does_not_start(stack: Stack) -> None:
    refused = command(stack, "worker", "fast", TRIALS=str(TRIALS.with_name("broken_tasks")))
    assert refused.returncode == 1
    assert "cannot import name 'there_is_no_such_thing'" in refused.stdout
    assert "worker ready" not in refused.stdout

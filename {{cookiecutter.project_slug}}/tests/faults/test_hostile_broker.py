"""Whoever has the broker's password, and nothing else: what may be sent stops no worker and does no job."""

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import redis
from celery import Celery

from service import NAME
from service.config import settings
from service.jobs import State, doorbell, query, submit
from service.jobs.doorbell import Bell
from service.jobs.keeper import Keeper
from tests.support.garbage import GARBAGE, UNHEEDED, encoded, message
from tests.support.stack import Role, Stack, until
from tests.support.table import Recovered


@pytest.mark.fault("L16", "swallowed with no signal, or the worker exits")
def test_garbage_in_the_queue_ends_no_worker(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    with redis.Redis(port=stack.broker.port) as client:
        for kind, garbage in (GARBAGE | UNHEEDED).items():
            client.lpush(f"{NAME}.fast", garbage)
            until(lambda: client.llen(f"{NAME}.fast") == 0)
            row = stack.submit("trials.echo", value="after")
            (done,) = stack.ended(row.id, seconds=10)
            assert (done.state, worker.process.poll()) == (State.SUCCEEDED, None), kind
    until(lambda: len(stack.refused_messages()) == len(GARBAGE))


@pytest.mark.fault("L16", "the worker exits, and so does the next one")
@pytest.mark.parametrize("part", ["chain", "errbacks"])
def test_what_a_message_says_of_others_is_not_walked_over_in_the_workers_own_loop(stack: Stack, part: str) -> None:
    worker = stack.start("worker", "fast")
    head = {"task": "trials.echo", "id": "1", "eta": "0001-01-01T00:00:00+14:00"}
    with redis.Redis(port=stack.broker.port) as client:
        for others in ([5], 5):
            body = encoded(json.dumps([[], {}, {part: others}]))
            client.lpush(f"{NAME}.fast", message(headers=head, body=body))
    row = stack.submit("trials.echo", value="after")
    assert (stack.ended(row.id)[0].state, worker.process.poll()) == (State.SUCCEEDED, None)


@pytest.mark.fault("U10", "a task that was ordered is thrown away for three hours")
def test_a_doorbell_that_has_expired_silences_no_job(stack: Stack) -> None:
    stack.start("worker", "fast")
    row = submit("trials.echo", {"value": "x"}, run_at=datetime.now(UTC) + timedelta(seconds=3))
    head = {"task": "trials.echo", "id": row.id, "durable": True, "expires": "2020-01-01T00:00:00+00:00"}
    with redis.Redis(port=stack.broker.port) as client:
        client.lpush(f"{NAME}.fast", message(headers=head))
    assert stack.ended(row.id, seconds=20)[0].state is State.SUCCEEDED


@pytest.mark.fault("U10", "arbitrary jobs")
def test_a_doorbell_under_a_name_that_nobody_knows_leaves_no_trace_at_a_job(stack: Stack) -> None:
    stack.start("worker", "fast")
    row = submit("trials.echo", {"value": "x"}, run_at=datetime.now(UTC) + timedelta(seconds=3))
    bell = Bell()
    bell.publish(row.id, "trials.unheard", "fast")
    bell.close()
    assert stack.ended(row.id)[0].state is State.SUCCEEDED
    assert stack.events(row.id) == ["accepted", "started", "succeeded"]


@pytest.mark.fault("L16", "the worker does nothing else until it has dealt with all of it")
def test_a_flood_of_garbage_silences_no_heartbeat(stack: Stack) -> None:
    """What is to be kept of it arrives faster than the store takes it."""
    keeper, limit = Keeper("worker", "fast"), settings().heartbeat_limit
    keeper.start()
    until(lambda: query.alive("worker"))
    for _ in range(int(1.5 * limit / 0.02)):
        keeper.report(partial(time.sleep, 0.02), may_drop=True)
    end = time.monotonic() + 1.5 * limit
    while time.monotonic() < end:
        assert query.alive("worker")
        time.sleep(0.1)
    keeper.stop()


@pytest.mark.fault("L16", "ten times its size in memory")
def test_an_element_that_is_huge_is_not_read(stack: Stack) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("how much memory a process has taken is read from /proc")
    worker, size = stack.start("worker", "fast"), 60 * 1024 * 1024
    before = peak(worker)
    with redis.Redis(port=stack.broker.port) as client:
        client.lpush(f"{NAME}.fast", b"[" + b"[]," * (size // 3) + b"0]")
    until(stack.refused_messages)
    assert stack.ended(stack.submit("trials.echo", value="after").id)[0].state is State.SUCCEEDED
    assert peak(worker) - before < 5 * size


@pytest.mark.fault("L16", "the worker exits, and again after each restart")
def test_a_queue_that_is_no_list_ends_no_worker(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "fast")
    with redis.Redis(port=stack.broker.port) as client:
        client.set(f"{NAME}.fast", "x")
        until(lambda: worker.said("ResponseError") or worker.process.poll() is not None)
        client.delete(f"{NAME}.fast")
    began = time.monotonic()
    assert worker.process.poll() is None
    assert stack.ended(stack.submit("trials.echo", value="after").id)[0].state is State.SUCCEEDED
    recovered(time.monotonic() - began)


@pytest.mark.fault("U10", "one message stops every worker, or lifts its limits")
def test_whoever_reaches_the_broker_controls_no_worker(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    with Celery(broker=stack.broker.url, set_as_current=False) as celery, redis.Redis(port=stack.broker.port) as client:
        for command in ("shutdown", "pool_restart", "pool_shrink", "cancel_consumer", "revoke", "time_limit"):
            celery.control.broadcast(command, {"queue": f"{NAME}.fast", "task_name": "trials.echo", "n": 4, "soft": 1})
        # What a worker does not hear can hold none up, either.
        assert client.publish("/0.celery.pidbox", message()) == 0
        assert not celery.control.inspect(timeout=1).ping()
    assert stack.ended(stack.submit("trials.echo", value="after").id)[0].state is State.SUCCEEDED
    assert worker.process.poll() is None


@pytest.mark.fault("U10", "whatever the message says is taken for the job")
def test_a_plain_call_that_brings_a_job_of_its_own_is_refused_by_a_task_that_uses_its_job(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    head = {"task": "trials.echo", "id": "1", "job": {"id": "1", "attempt": 1}}
    body = encoded('[[], {"value": "x"}, {}]')
    with redis.Redis(port=stack.broker.port) as client:
        client.lpush(f"{NAME}.fast", message(headers=head, body=body))
    until(lambda: worker.said("RuntimeError") or worker.said("AttributeError"))
    assert not worker.said("AttributeError")


@pytest.mark.fault("U10", "arbitrary jobs")
def test_a_forged_doorbell_without_a_row_does_nothing(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    bell = Bell()
    bell.publish("00000000-0000-7000-8000-000000000000", "trials.deadly", "fast")
    bell.close()
    until(lambda: stack.broker_depth("fast") == 0)
    row = stack.submit("trials.echo", value="after")
    assert stack.ended(row.id)[0].state is State.SUCCEEDED
    assert doorbell.flush(1)
    assert stack.jobs("trials.deadly") == []
    assert worker.process.poll() is None


@pytest.mark.fault("U10", "arbitrary jobs")
def test_a_forged_doorbell_that_names_another_task_changes_nothing(stack: Stack) -> None:
    row = submit("trials.echo", {"value": "x"}, run_at=datetime.now(UTC) + timedelta(seconds=2))
    stack.start("worker", "fast")
    bell = Bell()

    def ring_until_it_has_ended() -> bool:
        bell.publish(row.id, "trials.deadly", "fast")
        return stack.job(row.id).state is State.SUCCEEDED

    until(ring_until_it_has_ended)
    bell.close()
    assert stack.events(row.id) == ["accepted", "started", "succeeded"]


@pytest.mark.fault("U10", "arbitrary jobs")
def test_a_forged_doorbell_that_is_no_id_keeps_no_worker_from_its_heartbeat(stack: Stack) -> None:
    stack.start("worker", "fast")
    bell = Bell()
    for task in ("trials.echo", "trials.unheard"):
        bell.publish("no-id", task, "fast")
    bell.close()
    until(lambda: stack.broker_depth("fast") == 0)
    row = stack.submit("trials.deadly", times=1)
    (done,) = stack.ended(row.id)
    assert (done.state, done.crashes) == (State.SUCCEEDED, 1)


def peak(role: Role) -> int:
    """The most memory that a process has taken so far, in bytes."""
    (line,) = [line for line in Path(f"/proc/{role.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024

"""What is taken for a message is a doorbell, or a plain call: whatever else it says of itself counts for nothing."""

import json
import re
from typing import Any

import pytest
import redis
from billiard.exceptions import TimeLimitExceeded

from local.broker import Broker
from service import NAME
from service.jobs import State, submit
from service.jobs.doorbell import Bell
from service.worker import request, runner
from tests.integration.test_commands import command
from tests.support.garbage import DEEP, encoded, message
from tests.support.ports import free_port
from tests.support.stack import Stack, until

# Entries of what is unacknowledged: of three parts each is made, the message, its exchange and its key.
POISON = [
    "garbage",
    "5",
    "{}",
    '[{}, "", null]',
    '[{}, "", "x"]',
    "[1]",
    "[[], {}, 5, 5]",
    '["a", "b", "c"]',
    f"[{DEEP}, 1, 1]",
    b"\xff",
]

# What nobody knows is refused, and so leaves a trace.
OTHERS: Any = [{"task": "trials.unheard", "args": [], "kwargs": {}, "options": {}, "immutable": True}]


@pytest.mark.fault("L16", "each worker exits at its start, until somebody deletes the key by hand")
def test_no_entry_of_what_is_unacknowledged_keeps_a_worker_from_its_start(stack: Stack) -> None:
    with redis.Redis(port=stack.broker.port) as client:

        def poison() -> None:
            client.set("x", "no queue")
            client.hset("unacked", mapping={f"{number}": entry for number, entry in enumerate(POISON)})
            client.zadd("unacked_index", {f"{number}": number + 1 for number in range(len(POISON))})

        poison()
        worker = stack.start("worker", "fast")
        until(lambda: not client.hlen("unacked") and not client.zcard("unacked_index"))
        poison()
        until(lambda: not client.hlen("unacked") and not client.zcard("unacked_index"))
    assert stack.ended(stack.submit("trials.echo", value="after").id)[0].state is State.SUCCEEDED
    assert worker.process.poll() is None


@pytest.mark.fault("L16", "the worker connects again and again, and says why in a traceback without the key")
@pytest.mark.parametrize(
    "key",
    [
        *("unacked", "unacked_index", f"{NAME}.fast"),
        *(f"_kombu.binding.{NAME}.fast", f"_kombu.binding_permanent.{NAME}.slow"),
    ],
)
def test_a_key_of_another_type_is_named_with_what_to_do_about_it(stack: Stack, key: str) -> None:
    with redis.Redis(port=stack.broker.port) as client:
        client.set(key, "x")
    # Also where the limits have a Redis of their own.
    another = Broker(stack.directory / "limits", free_port())
    another.start()
    try:
        for url in ("", another.url):
            said = command(stack, "check", REDIS_URL=url)
            assert said.returncode == 1
            assert re.search(rf"{key}\b.*delete", said.stderr + said.stdout)
    finally:
        another.stop()


@pytest.mark.fault("U10", "what a message names is called after it, or kills the process that it is for")
def test_a_doorbell_brings_nothing_along(stack: Stack) -> None:
    stack.start("worker", "fast")
    with redis.Redis(port=stack.broker.port) as client:
        for part in ("callbacks", "chain", "chord", "errbacks"):
            bell = {"task": "trials.echo", "id": "1", "durable": True}
            body = encoded(json.dumps([[], {}, {part: OTHERS}]))
            client.lpush(f"{NAME}.fast", message(headers=bell, body=body), message(headers=bell | {part: OTHERS}))
        for value in ("after", "and after what the first ones left"):
            assert stack.ended(stack.submit("trials.echo", value=value).id)[0].state is State.SUCCEEDED
    assert stack.refused_messages() == []


@pytest.mark.fault("U10", "a job runs on whatever queue a message says")
def test_a_doorbell_on_another_queue_starts_nothing(stack: Stack) -> None:
    row = stack.submit("trials.sleep", seconds=0)
    bell = Bell()
    bell.publish(row.id, row.task, "fast")
    bell.close()
    # One process takes one after the other.
    stack.start("worker", "fast", QUEUE_FAST_CONCURRENCY="1")
    assert stack.ended(stack.submit("trials.echo", value="behind it").id)[0].state is State.SUCCEEDED
    assert (stack.job(row.id).state, stack.job(row.id).attempt) == (State.QUEUED, 0)
    stack.start("worker", "slow")
    assert stack.ended(row.id)[0].attempt == 1


@pytest.mark.fault("U10", "a dead letter of a job that runs")
def test_a_process_that_is_killed_over_a_second_doorbell_ends_no_job_of_another(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=3)
    until(lambda: stack.job(row.id).state is State.RUNNING)
    running = stack.job(row.id)
    assert running.pid
    monkeypatch.setattr(runner, "worker_name", running.worker)
    request._timed_out(None, row.id, running.pid + 1, TimeLimitExceeded(1))
    assert stack.ended(row.id)[0].state is State.SUCCEEDED


@pytest.mark.fault("U10", "a job under limits that are not its own")
def test_a_plain_call_cannot_make_itself_a_job(stack: Stack) -> None:
    row = submit("trials.sleep", {"seconds": 3})
    until(lambda: stack.broker_depth("slow") == 1)
    body = encoded(json.dumps([[], {}, {"durable": True, "id": row.id}]))
    head = {"task": "trials.sleep", "id": "1", "timelimit": [2, 1]}
    with redis.Redis(port=stack.broker.port) as client:
        client.rpush(f"{NAME}.slow", message(headers=head, body=body))
    stack.start("worker", "slow")
    assert stack.ended(row.id)[0].state is State.SUCCEEDED
    assert stack.refused_messages() == ["no task's message"]


@pytest.mark.fault("U10", "a call that hangs holds its process for days")
def test_a_plain_call_cannot_lift_the_limits_of_its_task(stack: Stack) -> None:
    worker = stack.start("worker", "fast", QUEUE_FAST_SOFT_LIMIT="1", QUEUE_FAST_HARD_LIMIT="2")
    head = {"task": "trials.linger", "id": "1", "timelimit": [1e5, 1e5]}
    with redis.Redis(port=stack.broker.port) as client:
        client.lpush(f"{NAME}.fast", message(headers=head, body=encoded('[[], {"seconds": 60}, {}]')))
    until(lambda: worker.said("SoftTimeLimitExceeded"))


@pytest.mark.fault("L16", "all of the queue is fetched at once")
def test_many_messages_under_one_tag_are_not_fetched_at_once(stack: Stack) -> None:
    stack.start("worker", "fast")
    head = {"task": "trials.linger", "id": "1"}
    with redis.Redis(port=stack.broker.port) as client:
        client.lpush(f"{NAME}.fast", *[message(headers=head, body=encoded('[[], {"seconds": 60}, {}]'))] * 500)
        until(lambda: client.hlen("unacked") > 1)
        assert client.llen(f"{NAME}.fast") > 400

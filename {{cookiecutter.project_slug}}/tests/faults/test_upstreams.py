"""Third parties' limits, kept by all workers together, whatever becomes of a worker or of Redis."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from local.broker import Broker
from service import NAME
from service.database import new_id
from service.errors import WrongState
from service.jobs import Job, State, operate, submit
from tests.support.receiver import Answer, Receiver, Sent
from tests.support.stack import Stack, until

# What the ways of two calls to the third party may differ by, where many processes share a few cores.
JITTER = 0.3

Limit = Callable[..., Stack]


@pytest.fixture
def limits(tmp_path: Path) -> Iterator[Broker]:
    """A Redis for the limits alone, on any broker."""
    made = Broker(tmp_path / "limits")
    made.start()
    yield made
    # One that is frozen hears of nothing else.
    made.stop(signal.SIGKILL)


@pytest.fixture
def limited(stack: Stack, limits: Broker) -> Limit:
    """Two workers under a limit for 127.0.0.1."""

    def make(rate: str, **at_once: int) -> Stack:
        upstreams = {"payments": {"hosts": ["127.0.0.1"], "rate": rate, **at_once}}
        mine = {"UPSTREAMS": json.dumps(upstreams), "REDIS_URL": limits.url, "OUTBOUND_ALLOW": "127.0.0.0/8"}
        stack.environment |= mine
        for _ in range(2):
            stack.start("worker", "fast")
        return stack

    return make


def slow(_: Sent) -> Answer:
    """Take a fifth of a second."""
    time.sleep(0.2)
    return 204, {}


def many(stack: Stack, url: str, count: int = 30) -> list[str]:
    """So many jobs that call."""
    return [stack.submit("trials.posts", url=url).id for _ in range(count)]


def done(stack: Stack, ids: list[str], seconds: float = 60) -> list[Job]:
    """The jobs, once all have succeeded without a failure."""
    rows = stack.ended(*ids, seconds=seconds)
    assert {row.state for row in rows} == {State.SUCCEEDED}
    assert {(row.failures, row.crashes, row.losses) for row in rows} == {(0, 0, 0)}
    return rows


def waiting(stack: Stack) -> list[Job]:
    """The jobs that wait for the limit."""
    return [row for row in stack.jobs("trials.posts") if row.waiting_for == "limit payments"]


@pytest.mark.fault("S8", "rate_limit is each worker's own: two workers, twice the rate")
def test_a_rate_is_kept_by_all_workers_together(limited: Limit) -> None:
    stack = limited("5/second")
    with Receiver() as receiver:
        rows = done(stack, many(stack, receiver.url))
        # Each called once, and no sixth within a second of the first of five.
        times = [sent.at for sent in receiver.sent]
        assert len(times) == 30
        assert min(after - before for before, after in zip(times, times[5:], strict=False)) >= 1 - JITTER
        assert 5 <= times[-1] - times[0] <= 12
        # Looked when it came, at its turn, and a few once more.
        assert sum(row.attempt for row in rows) <= 3 * len(rows)


@pytest.mark.fault("S8", "so many at once is the workers' number, whoever is called")
def test_so_many_at_once_are_not_exceeded_and_follow_each_other(limited: Limit) -> None:
    stack = limited("100/second", at_once=2)
    with Receiver(answer=slow) as receiver:
        done(stack, many(stack, receiver.url))
        assert (len(receiver.sent), receiver.together) == (30, 2)
        # Fifteen times two, and nobody waits for its time where a place is free.
        assert receiver.sent[-1].at - receiver.sent[0].at <= 10


@pytest.mark.fault("S8", "a counter in Redis that a killed worker does not count down")
def test_the_place_of_a_killed_worker_is_free_again(limited: Limit) -> None:
    stack, hangs = limited("100/second", at_once=1), [True]
    with Receiver(answer=lambda _: (until(lambda: not hangs[0], seconds=60), (204, {}))[1]) as receiver:
        (dead,) = many(stack, receiver.url, 1)
        until(lambda: receiver.sent)
        others = many(stack, receiver.url, 5)
        until(lambda: len(waiting(stack)) == 5)
        for role in stack.roles:
            role.kill()
        hangs[0] = False
        # It does not come again, to take the place that was its own and hand it on.
        operate.cancel(dead, by="test", client=None)
        stack.start("worker", "fast")
        done(stack, others, seconds=30)
        assert receiver.together == 1


@pytest.mark.fault("S8", "Retry-After is heard by the one job that was told")
def test_a_retry_after_is_honoured_for_everyone(limited: Limit) -> None:
    stack = limited("100/second")
    with Receiver(answer=lambda _: (429, {"Retry-After": "4"})) as receiver, Receiver("127.0.0.2") as other:
        told = submit("trials.posts", {"url": receiver.url}, client="alice")
        until(lambda: stack.job(told.id).failures == 1)
        receiver.answer = lambda _: (204, {})
        rows = [submit("trials.posts", {"url": receiver.url}, client=f"client-{each % 3}") for each in range(15)]
        until(lambda: len(waiting(stack)) == 15)
        # Whoever has no limit does not wait.
        done(stack, many(stack, other.url, 5), seconds=3)
        assert len(receiver.sent) == 1
        done(stack, [row.id for row in rows])
        assert [row.state for row in stack.ended(told.id)] == [State.SUCCEEDED]
        assert min(after.at for after in receiver.sent[1:]) - receiver.sent[0].at >= 3.9


@pytest.mark.fault("S8", "whoever waits for a limit asks for it over and over")
def test_waiting_costs_nothing_for_each_that_waits(limited: Limit) -> None:
    stack = limited("1/second")
    with Receiver() as receiver:
        ids = many(stack, receiver.url, 100)
        until(lambda: len(receiver.sent) + len(waiting(stack)) >= 99)
        before, since = looks(stack), time.monotonic()
        until(lambda: time.monotonic() - since >= 6)
        assert looks(stack) - before <= 2 * (time.monotonic() - since)
        assert len(receiver.sent) >= 4
        # Each has a time of its own, a second and a fifth after the one before it. Two of them differ by what it takes
        # from the booking to the row, which is more on a busy machine; one and the tenth after it do not.
        turns = sorted(stack.job(job_id).run_at for job_id in ids if stack.job(job_id).state is State.QUEUED)
        assert all((after - before).total_seconds() > 8 for before, after in zip(turns, turns[10:], strict=False))
        assert len(turns) > 50


def looks(stack: Stack) -> int:
    """How often jobs were begun."""
    return sum(row.attempt for row in stack.jobs("trials.posts"))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
@pytest.mark.fault("S8", "a limiter that is away stops everyone")
def test_without_its_redis_every_job_ends(limited: Limit, limits: Broker, end: signal.Signals) -> None:
    stack = limited("2/second", at_once=1)
    with Receiver() as receiver:
        ids = many(stack, receiver.url)
        until(lambda: len(receiver.sent) >= 3)
        if end is signal.SIGKILL:
            limits.stop(end)
        else:
            os.kill(limits.pid, end)
        done(stack, ids)
        # It goes on as if nothing had been: who came later is let through.
        later = many(stack, receiver.url, 5)
        done(stack, later, seconds=10)
        assert len(receiver.sent) == 35
        assert any(role.said("limits of third parties not kept") for role in stack.roles)


@pytest.mark.fault("S8", "who waited in Redis is forgotten with it")
def test_a_redis_that_is_wiped_forgets_nobody_and_keeps_the_limit_again(limited: Limit, limits: Broker) -> None:
    stack = limited("5/second", at_once=2)
    with Receiver() as receiver:
        ids = many(stack, receiver.url)
        until(lambda: len(receiver.sent) >= 8)
        with redis.Redis.from_url(limits.url) as client:
            client.flushall()
            client.script_flush()
        wiped = time.monotonic()
        done(stack, ids)
        times = [sent.at for sent in receiver.sent if sent.at > wiped]
        assert min(after - before for before, after in zip(times, times[5:], strict=False)) >= 1 - JITTER
        assert len(receiver.sent) == 30


@pytest.mark.fault("S8", "a job that was half done when its limit was reached begins again, for ever")
def test_a_job_that_calls_several_times_calls_no_more_than_that(limited: Limit) -> None:
    stack = limited("4/second", at_once=2)
    with Receiver() as receiver:
        rows = [stack.submit("trials.posts_often", url=receiver.url, times=3) for _ in range(8)]
        done(stack, [row.id for row in rows])
        assert len(receiver.sent) == 24
        times = [sent.at for sent in receiver.sent]
        assert min(after - before for before, after in zip(times, times[4:], strict=False)) >= 1 - JITTER


# Written by whoever has Redis's password, with places that are taken for ever behind which lines are.
WRITTEN: dict[str, tuple[tuple[object, ...], ...]] = {
    "a number without an end": (("SET", "spared", "inf"),),
    "no number": (("SET", "spared", "nan"),),
    "a year that Python cannot read": (("SET", "spared", "1e12"),),
    "a line without an end": (("ZADD", "held", "1e300", "x"), ("ZADD", "line", "inf", "y")),
    "a line to a year that Python cannot read": (("ZADD", "held", "1e11", "x"), ("ZADD", "line", "1e12", "y")),
    "jobs that are none": (("ZADD", "line", *(part for _ in range(40_000) for part in (0, new_id()))),),
    "no text": (("ZADD", "line", "0", b"\xff\xfe"),),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.fault("S8", "what lies in Redis is believed")
def test_whatever_stands_in_redis_fails_no_job_and_stops_none_for_good(
    limited: Limit, limits: Broker, written: str
) -> None:
    stack = limited("5/second", at_once=1)
    with Receiver() as receiver, redis.Redis.from_url(limits.url) as client:
        for command, key, *values in WRITTEN[written]:
            client.execute_command(command, f"{NAME}:upstream:payments:{key}", *values)
        done(stack, many(stack, receiver.url, 3))
        assert len(receiver.sent) == 3


@pytest.mark.fault("S8", "rate_limit knows of no other's jobs")
def test_turns_of_jobs_that_were_cancelled_hold_up_nobody(limited: Limit) -> None:
    stack = limited("1/second")
    with Receiver() as receiver:
        ids = many(stack, receiver.url, 60)
        until(lambda: len(waiting(stack)) + len(receiver.sent) >= 60)
        for job_id in ids:
            with suppress(WrongState):
                operate.cancel(job_id, by="test", client=None)
        done(stack, many(stack, receiver.url, 5), seconds=15)

"""Ways in which those that go together lose, double or drag down each other; and that here each is by itself."""

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.jobs import Job, State
from tests.integration.test_aggregation import orders, results, rounds, ten
from tests.support.stack import Stack, until
from tests.support.table import Recovered

BUFFERED = "what collects (celery-batches) is a buffer in one worker's memory"


def demand_whole(stack: Stack, done: list[Job]) -> None:
    """Hold that each succeeded, with one effect in the database, that of its last attempt."""
    for row in done:
        assert (row.state, stack.effects(row.id)) == (State.SUCCEEDED, [row.attempt]), row.id
        assert stack.events(row.id).count("succeeded") == 1


@pytest.mark.fault("L1", f"all ten are gone with the worker; {BUFFERED}")
def test_a_worker_killed_in_the_middle_of_a_carried_ten(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "slow")
    made = orders(*10 * [{"seconds": 1}], task="rounds.haul")
    until(lambda: [stack.job(row.id).state for row in made].count(State.SUCCEEDED) == 3)
    killed = time.monotonic()
    worker.kill()
    before = {row.id for row in made if stack.job(row.id).state is State.SUCCEEDED}
    assert rounds(stack) == [10]
    stack.start("worker", "slow")
    done = stack.ended(*(row.id for row in made), seconds=90)
    recovered(time.monotonic() - killed)
    demand_whole(stack, done)
    assert {(row.losses, row.crashes) for row in done if row.id in before} == {(0, 0)}
    assert {(row.losses, row.crashes) for row in done if row.id not in before} == {(1, 0)}
    # Whoever was lost is in nobody's company any more.
    assert rounds(stack)[1:] == [1] * (10 - len(before))


@pytest.mark.fault("D5", "what was done before the kill is done again, with all the others")
def test_a_process_killed_over_one_of_ten_repeats_none_that_has_ended(stack: Stack) -> None:
    stack.start("worker", "slow")
    made = orders(*10 * [{"seconds": 0.5}], task="rounds.haul")
    until(lambda: [stack.job(row.id).state for row in made].count(State.SUCCEEDED) == 3)
    (pid,) = {row.pid for row in map(stack.job, (row.id for row in made)) if row.state is State.RUNNING}
    assert pid
    os.kill(pid, signal.SIGKILL)
    done = stack.ended(*(row.id for row in made), seconds=60)
    demand_whole(stack, done)
    crashes = Counter(row.crashes for row in done)
    assert set(crashes) == {0, 1}
    assert crashes[0] >= 3
    assert {len(stack.attempts(row.id)) for row in done if not row.crashes} == {1}


@pytest.mark.fault("L2", f"one that kills its process takes the others along; {BUFFERED}")
@pytest.mark.parametrize("how", ["does", "walk"])
def test_a_poison_among_ten_fails_alone(stack: Stack, how: str) -> None:
    stack.start("worker", "fast")
    made = ten(**{how: "kill"})
    done = stack.ended(*(row.id for row in made), seconds=60)
    poison = done.pop(4)
    assert (poison.state, poison.error_type, poison.crashes) == (State.FAILED, "poison", 3)
    assert stack.effects(poison.id) == []
    demand_whole(stack, done)
    assert {row.crashes for row in done} <= {0, 1}
    assert {row.failures for row in done} == {0}


@pytest.mark.fault("L17", "the hard limit is all ten's, and they are acknowledged")
@pytest.mark.parametrize("swallow", [False, True])
def test_one_that_hangs_takes_nobodys_time_twice(stack: Stack, swallow: bool) -> None:
    stack.start("worker", "fast")
    made = ten("rounds.crawl", seconds=30, swallow=swallow)
    done = stack.ended(*(row.id for row in made), seconds=60)
    hung = done.pop(4)
    assert (hung.state, hung.error_type, hung.crashes, hung.failures) == (State.FAILED, "timeout", 1, 1)
    assert {(row.state, row.failures) for row in done} == {(State.SUCCEEDED, 0)}
    assert {row.crashes for row in done} <= {0, 1}


@pytest.mark.fault("L17", "the call for all hangs, and all of them are gone")
def test_a_call_that_hangs_over_one_of_ten(stack: Stack) -> None:
    stack.start("worker", "fast", QUEUE_FAST_SOFT_LIMIT="2", QUEUE_FAST_HARD_LIMIT="3")
    made = ten(walk="long")
    done = stack.ended(*(row.id for row in made), seconds=60)
    hung = done.pop(4)
    assert (hung.state, hung.error_type) == (State.FAILED, "timeout")
    demand_whole(stack, done)
    assert {(row.crashes, row.failures) for row in done} == {(1, 0)}


@pytest.mark.fault("D1", "what is delivered twice is in two workers' buffers")
def test_two_workers_never_carry_the_same_one(stack: Stack) -> None:
    for _ in range(2):
        stack.start("worker", "fast", ready=False)
    with ThreadPoolExecutor(8) as pool:
        made = [row for part in pool.map(lambda number: orders(*5 * [{"order": number}]), range(19)) for row in part]
    done = stack.ended(*(row.id for row in made), seconds=90)
    demand_whole(stack, done)
    assert {len(stack.attempts(row.id)) for row in done} == {1}
    assert sum(rounds(stack)) == 95
    assert max(results(done)) == 10


@pytest.mark.fault("D4", "whoever wakes up ends all ten a second time")
def test_a_worker_that_was_presumed_dead_ends_none_of_ten(stack: Stack) -> None:
    worker = stack.start("worker", "slow", QUEUE_SLOW_CONCURRENCY="1")
    made = orders(*10 * [{"seconds": 1}], task="rounds.haul")
    # Nobody of it writes to the store just then.
    until(lambda: any(stack.attempts(row.id) for row in made))
    worker.signal(signal.SIGSTOP, group=True)
    stack.start("worker", "slow")
    done = stack.ended(*(row.id for row in made), seconds=90)
    demand_whole(stack, done)
    before = {row.id: (row.attempt, row.ended_at) for row in done}
    worker.signal(signal.SIGCONT, group=True)
    until(lambda: worker.said("lost to another attempt"), seconds=30)
    assert {row.id: (row.attempt, row.ended_at) for row in stack.ended(*before)} == before
    demand_whole(stack, stack.ended(*before))


@pytest.mark.fault("L7", "what is buffered at a stop is lost, or is waited for")
def test_a_worker_that_stops_hands_back_what_it_carries(stack: Stack) -> None:
    worker = stack.start("worker", "slow", QUEUE_SLOW_GRACE="2")
    made = orders(*10 * [{"seconds": 1}], task="rounds.haul")
    until(lambda: rounds(stack) == [10])
    worker.stop()
    assert State.RUNNING not in {stack.job(row.id).state for row in made}
    stack.start("worker", "slow")
    done = stack.ended(*(row.id for row in made), seconds=90)
    demand_whole(stack, done)
    assert {(row.crashes, row.losses, row.failures) for row in done} == {(0, 0, 0)}
    # Each of the worker's two processes may have one in hand at first.
    assert len(rounds(stack)) <= 3


@pytest.mark.fault("L3", "who waits for company waits in a memory")
def test_those_that_wait_for_company_survive_a_wiped_broker_and_a_killed_worker(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    made = orders(*({"order": number} for number in range(3)))
    until(lambda: {stack.job(row.id).waiting_for for row in made} == {"company"})
    worker.kill()
    stack.broker.wipe()
    stack.start("worker", "fast")
    demand_whole(stack, stack.ended(*(row.id for row in made), seconds=60))

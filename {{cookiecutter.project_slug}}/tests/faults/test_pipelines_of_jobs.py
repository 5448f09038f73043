"""Ways in which steps that follow each other stop half way, or are done twice; and that here each is done once."""

import itertools
import signal
import time
from contextlib import suppress

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from service import database
from service.jobs import Job, State
from service.jobs.shapes import pipelines
from tests.integration.test_pipelines_of_jobs import order
from tests.support.postgresql import restart, restartable
from tests.support.stack import Stack, until
from tests.support.table import Recovered


def demand_each_once(stack: Stack, made: str, *attempts: int, seconds: float = 60.0) -> list[Job]:
    """Hold that each step had its effect once, at this attempt, and after the one before it; gives their jobs."""
    until(lambda: pipelines.get(made).ended, seconds=seconds)
    found = pipelines.get(made)
    assert (found.state, len(found.steps)) == (State.SUCCEEDED, len(attempts))
    assert [stack.effects(step.id) for step in found.steps] == [[number] for number in attempts]
    jobs = [stack.job(step.id) for step in found.steps]
    assert jobs[-1].result["did"] == [step.task for step in found.steps]  # type: ignore[index]
    for before, after in itertools.pairwise(jobs):
        assert before.ended_at is not None
        assert float(stack.attempts(after.id)[0]["at"]) >= before.ended_at.timestamp() - 0.01
    return jobs


@pytest.mark.fault("L1", "a chain ends where its worker did, and the links after it were never anywhere")
def test_a_worker_killed_in_the_middle_of_a_step(stack: Stack, recovered: Recovered) -> None:
    stack.start("worker", "fast", ready=False)
    worker = stack.start("worker", "slow")
    made = pipelines.submit(order(1, seconds=1.0))
    second = pipelines.get(made).steps[1].id
    until(lambda: stack.attempts(second))
    killed = time.monotonic()
    worker.kill()
    stack.start("worker", "slow")
    first, again, last = demand_each_once(stack, made, 1, 2, 1)
    recovered(time.monotonic() - killed)
    assert [row.losses for row in (first, again, last)] == [0, 1, 0]


@pytest.mark.fault("D5", "the link's worker dies, and the next one is never sent, or twice")
def test_a_worker_killed_as_soon_as_a_step_has_ended(stack: Stack) -> None:
    made = pipelines.submit(order(1))
    for number in range(3):
        step = pipelines.get(made).steps[number]
        worker = stack.start("worker", step.queue)
        until(lambda n=number: pipelines.get(made).steps[n].state is State.SUCCEEDED, every=0.002)  # type: ignore[misc]
        worker.kill()
        assert [each.state is None for each in pipelines.get(made).steps] == [each > number + 1 for each in range(3)]
    demand_each_once(stack, made, 1, 1, 1)


@pytest.mark.fault("L2", "the chain fails with the process that died, and its rest is forgotten")
def test_each_step_kills_its_process_before_its_commit(stack: Stack) -> None:
    stack.start("worker", "fast", ready=False)
    stack.start("worker", "slow")
    made = pipelines.submit(order(1, "die once", "die once", "die once"))
    for row in demand_each_once(stack, made, 2, 2, 2):
        assert (row.crashes, stack.events(row.id).count("accepted")) == (1, 1)


@pytest.mark.fault("L3", "the next link was a message, and is gone")
def test_every_doorbell_of_a_step_is_lost(stack: Stack) -> None:
    worker = stack.start("worker", "slow")
    made = pipelines.submit(order(1, seconds=2.0)[1:])
    until(lambda: stack.attempts(made))
    stack.broker.stop()
    until(lambda: stack.job(made).state is State.SUCCEEDED)
    # What it would have rung is lost with it.
    worker.kill()
    stack.broker.start()
    stack.broker.wipe()
    stack.start("worker", "fast")
    demand_each_once(stack, made, 1, 1)


@restartable
@pytest.mark.fault("L11", "the link has ended, and nobody could be told")
@pytest.mark.parametrize("moment", ["end", "next"])
def test_a_database_that_restarts_at_the_end_of_a_step(stack: Stack, recovered: Recovered, moment: str) -> None:
    stack.start("worker", "fast", ready=False, QUEUE_FAST_BACKOFF="1")
    stack.start("worker", "slow", QUEUE_SLOW_BACKOFF="1")
    made = pipelines.submit(order(1, seconds=1.0))
    _, second, third = (step.id for step in pipelines.get(made).steps)
    until(lambda: stack.attempts(second))
    with suppress(OperationalError), database.transaction() as session:
        # Whoever ends the step waits here: for its row, or for that of the next one's job, with its own end written.
        if moment == "end":
            session.execute(select(Job).where(Job.id == second).with_for_update(key_share=True))
        else:
            session.add(Job(id=third, task="x", queue="fast", kwargs={}, client="x", fingerprint="x"))
            session.flush()
        until(somebody_waits)
        restart()
        back = time.monotonic()
    demand_each_once(stack, made, 1, 2, 1)
    recovered(time.monotonic() - back)


def somebody_waits() -> bool:
    """Whether a statement about jobs waits for a lock."""
    waits = "wait_event_type = 'Lock' AND query LIKE '%jobs%' AND datname = current_database()"
    with database.standalone() as session:
        return bool(session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waits}")))


@pytest.mark.fault("D4", "both copies of the link send the next one")
def test_a_step_that_wakes_up_too_late_is_followed_once(stack: Stack) -> None:
    stack.start("worker", "fast", ready=False)
    frozen = stack.start("worker", "slow")
    made = pipelines.submit(order(1, seconds=3.0)[1:])
    until(lambda: stack.attempts(made))
    frozen.signal(signal.SIGSTOP, group=True)
    stack.start("worker", "slow")
    demand_each_once(stack, made, 2, 1)
    frozen.signal(signal.SIGCONT, group=True)
    until(lambda: frozen.said("lost to another attempt"), seconds=20)
    first, second = demand_each_once(stack, made, 2, 1)
    assert (stack.events(first.id).count("succeeded"), stack.events(second.id).count("accepted")) == (1, 1)


@pytest.mark.fault("L8", "the whole chain is sent again, or its rest is lost")
def test_a_pipeline_is_retried_from_where_it_failed_and_repeats_nothing(stack: Stack) -> None:
    stack.start("worker", "fast", ready=False)
    stack.start("worker", "slow")
    made = pipelines.submit(order(1, "succeed", "fail"))
    until(lambda: pipelines.get(made).ended)
    assert [step.state for step in pipelines.get(made).steps] == [State.SUCCEEDED, State.FAILED, None]
    (stack.directory / "mended-1").touch()
    pipelines.retry(made, by="test", client=None)
    demand_each_once(stack, made, 1, 2, 1)


@pytest.mark.fault(
    "S7", "a task that waits for the one before it holds a process, and with all of them held nothing moves"
)
def test_more_pipelines_than_processes_each_in_its_order(stack: Stack) -> None:
    for queue in ("fast", "slow", "slow"):
        stack.start("worker", queue, ready=False)
    for made in [pipelines.submit(order(number)) for number in range(100)]:
        demand_each_once(stack, made, 1, 1, 1)

"""Ways in which a Celery service does work twice, and that this one does not."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from service import database
from service.jobs import State, doorbell, submit
from service.jobs.doorbell import Bell
from tests.integration.test_commands import command
from tests.support.frozen import taken_over
from tests.support.stack import Stack, until
from tests.support.table import Recovered


@pytest.mark.fault("D1", "runs again beside itself (a 25 s task at a timeout of 8 s started 4 times)")
def test_more_doorbells_for_a_running_job_start_nothing(stack: Stack) -> None:
    stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=3)
    until(lambda: stack.attempts(row.id))
    bell = Bell()
    for _ in range(5):
        bell.publish(row.id, row.task, row.queue)
    bell.close()
    (done,) = stack.ended(row.id)
    until(lambda: stack.broker_depth("slow") == 0)
    assert (done.state, done.attempt, len(stack.attempts(row.id))) == (State.SUCCEEDED, 1, 1)


@pytest.mark.fault("D1", "nothing compares the two")
@pytest.mark.fault("U7", "settings that undo each other")
def test_check_refuses_a_limit_that_the_visibility_timeout_does_not_cover(stack: Stack) -> None:
    found = command(stack, "check", QUEUE_SLOW_HARD_LIMIT="1900")
    assert found.returncode == 1
    assert "VISIBILITY_TIMEOUT: expected at least twice the longest hard limit, 1900 s" in found.stderr


@pytest.mark.fault("D2", "runs as often as it was restored (5 times)")
@pytest.mark.fault("S18", "held in the worker's memory, or all consuming blocks")
def test_a_job_for_later_waits_in_its_row_and_not_in_the_broker(stack: Stack) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    waiting = [submit("trials.echo", {"value": "later"}, run_at=later) for _ in range(300)]
    worker = stack.start("worker", "fast")
    soon = stack.submit("trials.echo", value="now")
    assert stack.ended(soon.id, seconds=10)[0].state is State.SUCCEEDED
    assert stack.broker_depth("fast") == 0
    assert worker.stop() == 0
    assert {stack.job(row.id).state for row in waiting} == {State.QUEUED}


@pytest.mark.fault("D3", "two jobs")
def test_fifty_equal_requests_at_once_make_one_job(stack: Stack) -> None:
    def request(_: int) -> str:
        return submit("trials.echo", {"value": "once"}, client="shop", idempotency_key="order-1").id

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(request, range(50)))
    assert len(ids) == 1
    assert len(stack.jobs("trials.echo")) == 1


@pytest.mark.fault("D4", "finishes a second time, and overwrites")
def test_a_worker_that_wakes_up_too_late_changes_nothing(stack: Stack, recovered: Recovered) -> None:
    frozen, done, seconds = taken_over(stack, "trials.late_effect", seconds=3)
    recovered(seconds)
    frozen.signal(signal.SIGCONT, group=True)
    until(lambda: frozen.said("lost to another attempt"), seconds=20)
    assert (stack.effects(done.id), stack.job(done.id).attempt, done.attempt) == ([2], 2, 2)
    assert stack.events(done.id).count("succeeded") == 1


@pytest.mark.fault("D5", "the effect happens twice")
def test_a_worker_killed_after_its_commit_leaves_one_effect(stack: Stack) -> None:
    for _ in range(2):
        worker = stack.start("worker", "slow")
        row = stack.submit("trials.effect", seconds=0.3)
        until(lambda job_id=row.id: stack.job(job_id).state is State.SUCCEEDED, every=0.002)  # type: ignore[misc]
        worker.kill()
        again = stack.start("worker", "slow")
        with database.transaction() as session:
            doorbell.ring(session, row)
        doorbell.flush(5)
        until(lambda: stack.broker_depth("slow") == 0)
        assert again.stop() == 0
        assert (stack.job(row.id).attempt, stack.effects(row.id)) == (1, [1])


@pytest.mark.fault("D5", "half of the effect stays")
def test_a_worker_killed_before_its_commit_leaves_no_effect_but_the_second(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "slow")
    row = stack.submit("trials.effect", seconds=2)
    until(lambda: (stack.directory / f"written-{row.id}").exists())
    worker.kill()
    killed = time.monotonic()
    stack.start("worker", "slow")
    (done,) = stack.ended(row.id, seconds=45)
    recovered(time.monotonic() - killed)
    assert (done.state, done.attempt, stack.effects(row.id)) == (State.SUCCEEDED, 2, [2])

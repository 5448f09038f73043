"""Work that must not meet itself: one job of a unique key, one runner of a lock, whoever dies over it."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import insert, select, text

from service.database import new_id, now, standalone, transaction
from service.jobs import Job, State, attempts, doorbell, operate, reconcile, submit
from service.jobs.doorbell import Bell
from service.jobs.history import JOBS
from tests.integration.test_commands import answer
from tests.integration.test_keys import held, lingering
from tests.support.stack import HEARTBEAT_SECONDS, Stack, until
from tests.support.table import Recovered

DOUBLED = "each of them is a message: all run, and at once"


def one_at_a_time(jobs: list[Job]) -> bool:
    """Whether each of these began once the one before it, in the order of their beginning, had ended."""
    spans = sorted((row.started_at, row.ended_at) for row in jobs if row.started_at and row.ended_at)
    return len(spans) == len(jobs) and all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.fault("D6", DOUBLED)
def test_fifty_submissions_of_one_unique_key_at_once_make_one_job(stack: Stack) -> None:
    def request(number: int) -> str:
        return submit("trials.echo", {"value": f"{number}"}, client="shop", unique_key="sync 7").id

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(request, range(50)))
    assert len(ids) == 1
    assert len(stack.jobs("trials.echo")) == 1


@pytest.mark.fault("D6", DOUBLED)
def test_one_job_of_a_lock_runs_at_a_time_over_all_workers(stack: Stack) -> None:
    for queue in ("fast", "fast", "slow"):
        stack.start("worker", queue)
    kinds = (("trials.linger", {"seconds": 0.1}), ("trials.sleep", {"seconds": 0.1}))

    def request(number: int) -> str:
        return submit(*kinds[number % 2], lock_key="account 7").id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(request, range(30)))
    done = stack.ended(*ids)
    assert {(row.state, row.attempt) for row in done} == {(State.SUCCEEDED, 1)}
    assert one_at_a_time(done)


@pytest.mark.fault("D6", "a lock in Redis stays until it expires")
@pytest.mark.parametrize("how", ["kill", "exit", "memory"])
def test_a_lock_whose_holder_died_is_free_at_once(stack: Stack, recovered: Recovered, how: str) -> None:
    stack.start("worker", "fast")
    holder = submit("trials.deadly", {"times": 1, "how": how}, lock_key="account 7")
    following = submit("trials.echo", {"value": "next"}, lock_key="account 7")
    again, done = stack.ended(holder.id, following.id)
    seconds = float(stack.attempts(following.id)[0]["at"]) - float(stack.attempts(holder.id)[0]["at"])
    recovered(seconds)
    assert seconds < 3 * HEARTBEAT_SECONDS
    assert (again.state, again.crashes, done.state, done.attempt) == (State.SUCCEEDED, 1, State.SUCCEEDED, 1)
    assert one_at_a_time([again, done])


@pytest.mark.fault("D6", "a lock in Redis stays until it expires")
def test_a_lock_whose_whole_worker_died_is_free_within_the_heartbeat_limit(stack: Stack, recovered: Recovered) -> None:
    worker = stack.start("worker", "slow")
    holder = submit("trials.sleep", {"seconds": 1}, lock_key="account 7")
    others = [submit("trials.sleep", {"seconds": 0.1}, lock_key="account 7") for _ in range(3)]
    until(lambda: stack.attempts(holder.id))
    killed = time.monotonic()
    worker.kill()
    stack.start("worker", "slow")
    until(lambda: len(stack.attempts(holder.id)) == 2, seconds=45)
    recovered(time.monotonic() - killed)
    done = stack.ended(holder.id, *(row.id for row in others))
    assert [(row.state, row.attempt, row.losses) for row in done] == [(State.SUCCEEDED, 2, 1)] + 3 * [
        (State.SUCCEEDED, 1, 0)
    ]
    assert one_at_a_time(done)


@pytest.mark.fault("L3", "the next one is never told")
def test_a_lock_is_passed_on_although_the_doorbell_is_lost(stack: Stack) -> None:
    worker = stack.start("worker", "slow")
    holder = submit("trials.sleep", {"seconds": 3}, lock_key="account 7")
    until(lambda: stack.attempts(holder.id))
    following = submit("trials.echo", {"value": "next"}, lock_key="account 7")
    stack.broker.stop()
    until(lambda: stack.job(holder.id).state is State.SUCCEEDED)
    worker.kill()
    stack.broker.start()
    stack.start("worker", "fast")
    assert stack.ended(following.id)[0].state is State.SUCCEEDED


@pytest.mark.fault("D6", "the wait for a lock occupies a worker")
def test_what_waits_for_a_lock_occupies_no_worker_and_says_what_it_waits_for(stack: Stack) -> None:
    stack.start("worker", "slow", ready=False)
    stack.start("worker", "fast", QUEUE_FAST_CONCURRENCY="1")
    holder = held(stack, "account 8")
    ids = lingering(0, "account 8", 50)
    (other,) = stack.ended(stack.submit("trials.echo", value="meanwhile").id)
    assert other.state is State.SUCCEEDED
    doorbell.flush(5)
    until(lambda: stack.broker_depth("fast") == 0)
    assert answer(stack, "jobs", "show", ids[0])["waiting_for"] == "lock account 8"
    waiting = [stack.job(job_id) for job_id in ids]
    assert {(row.state, row.attempt, row.waiting_for) for row in waiting} == {(State.QUEUED, 0, "lock account 8")}
    rung = {row.id: row.rung_at for row in waiting}
    # Longer than a doorbell may go unanswered: nobody rings again for those that could not run.
    until(lambda: datetime.now(UTC) - max(at for at in rung.values() if at) > timedelta(seconds=5))
    assert stack.job(holder.id).state is State.RUNNING
    assert {job_id: stack.job(job_id).rung_at for job_id in ids} == rung
    operate.cancel(holder.id, by="test", client=None)
    assert {row.state for row in stack.ended(*ids)} == {State.SUCCEEDED}


@pytest.mark.fault("D6", "whoever asks first has the lock")
@pytest.mark.usefixtures("stack")
def test_no_job_overtakes_one_that_waits_for_its_lock_before_it() -> None:
    def claimed(job_id: str) -> bool:
        return attempts.claim(job_id, "trials.linger", queue="fast", worker="w", pid=1, hard_limit=30) is not None

    first, second = lingering(0, "account 7", 2)
    assert [claimed(job_id) for job_id in (second, first, second)] == [False, True, False]


@pytest.mark.fault("D6", "no lock at all")
@pytest.mark.usefixtures("stack")
def test_thousands_of_one_lock_of_which_half_are_not_due_make_no_sweep_slow() -> None:
    ago, far, bell, sweeps = datetime.now(UTC) - timedelta(minutes=1), datetime(2099, 1, 1, tzinfo=UTC), Bell(), 3
    named = {"task": "trials.linger", "queue": "fast", "kwargs": {"seconds": 0}, "client": "shop", "fingerprint": "x"}
    rows = [{"id": new_id(), "lock_key": "account 7", **named} for _ in range(9000)]
    with transaction() as session:
        session.execute(insert(JOBS), [row | {"run_at": far, "rung_at": None} for row in rows[:4500]])
        session.execute(insert(JOBS), [row | {"run_at": ago, "rung_at": ago} for row in rows[4500:]])
    started = time.monotonic()
    for _ in range(sweeps):
        assert reconcile.sweep("test", bell, may_bury=True)
    assert time.monotonic() - started < 2 * sweeps
    # One that could run, and with it no other.
    with standalone() as session:
        rung = session.scalars(select(Job.id).where(Job.rung_at > now(-30))).all()
    assert rung == [rows[4500]["id"]]


@pytest.mark.fault("L1", "hidden until the broker shows it again")
def test_a_step_of_the_sweep_that_fails_hides_no_dead_worker(stack: Stack, recovered: Recovered) -> None:
    raised = {
        "sqlite": ["CREATE TRIGGER refuse BEFORE UPDATE OF rung_at ON jobs {} BEGIN SELECT RAISE(ABORT, 'no'); END"],
        "postgresql": [
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'",
            "CREATE TRIGGER refuse BEFORE UPDATE OF rung_at ON jobs FOR EACH ROW {} EXECUTE FUNCTION refuse()",
        ],
    }
    with transaction() as session:
        for statement in raised[session.get_bind().dialect.name]:
            session.execute(text(statement.format("WHEN (NEW.task = 'trials.linger')")))
    worker = stack.start("worker", "slow")
    row = stack.submit("trials.sleep", seconds=1)
    until(lambda: stack.attempts(row.id))
    submit("trials.linger", {"seconds": 0}, run_at=datetime.now(UTC) + timedelta(seconds=1))
    killed = time.monotonic()
    worker.kill()
    again = stack.start("worker", "slow")
    until(lambda: len(stack.attempts(row.id)) == 2, seconds=45)
    recovered(time.monotonic() - killed)
    assert (stack.ended(row.id)[0].losses, again.said("a step of the sweep failed")) == (1, True)

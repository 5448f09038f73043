"""A queue whose jobs wait: hundreds of them in one process, which loses none of what a process for each would keep."""

import threading
from functools import partial
from typing import Any

import pytest

from service.jobs import Job, State, operate, query
from service.jobs.model import ENDED
from tests.support.receiver import Answer, Receiver
from tests.support.stack import Role, Stack, until
from tests.support.table import Measured

JOBS = 500

DIES = "one greenlet is killed, and nobody is told"


def worker(stack: Stack, **environment: str) -> Role:
    """A worker of greenlets, for as many jobs at once."""
    stack.environment |= {"QUEUE_SLOW_POOL": "gevent", "QUEUE_SLOW_CONCURRENCY": f"{JOBS}"} | environment
    return stack.start("worker", "slow")


def begun(stack: Stack, *jobs: Job) -> None:
    """Wait until these are in hand."""
    until(lambda: all(stack.attempts(job.id) for job in jobs))


def answer(job: Job) -> str:
    """Where the job is, once its worker has said so."""
    return next((each.message or "" for each in query.events(job.id, None) if each.event == "stack"), "")


def unharmed(job: Job) -> None:
    """Hold that it did not notice what became of its neighbour."""
    assert (job.state, job.attempt, job.losses, job.crashes) == (State.SUCCEEDED, 1, 0, 0), job.error_message


@pytest.mark.alone
@pytest.mark.fault("S14", "one process for each job that waits")
def test_500_jobs_wait_on_a_third_party_at_once_in_one_process(stack: Stack, measured: Measured) -> None:
    met = threading.Barrier(JOBS)

    def when_all_are_here(_: Any) -> Answer:
        met.wait(60)
        return 204, {}

    with Receiver(answer=when_all_are_here) as party:
        party.listen(JOBS)
        for _ in range(JOBS):
            stack.submit("waits.ask", url=party.url)
        worker(stack)
        until(lambda: all(job.state in ENDED for job in stack.jobs("waits.ask")), seconds=90, every=1.0)
    done = stack.jobs("waits.ask")
    assert len(done) == JOBS
    for job in done:
        unharmed(job)
    times = [(job.started_at, job.ended_at) for job in done if job.started_at and job.ended_at]
    measured(f"{(max(end for _, end in times) - min(start for start, _ in times)).total_seconds():.1f} s for all")


@pytest.mark.fault("S15", "the soft limit is not known to greenlets")
def test_a_job_over_its_soft_limit_may_tidy_up(stack: Stack) -> None:
    worker(stack, QUEUE_SLOW_SOFT_LIMIT="1")
    over, under = stack.submit("trials.sleep", seconds=60), stack.submit("trials.patient", seconds=0.5)
    done, other = stack.ended(over.id, under.id)
    assert (done.state, done.error_type, done.attempt) == (State.FAILED, "timeout", 1)
    assert "SoftTimeLimitExceeded(1.0,)" in (done.error_message or "")
    unharmed(other)


@pytest.mark.fault("S15", DIES)
def test_a_job_over_its_hard_limit_is_killed_alone(stack: Stack) -> None:
    role = worker(stack, QUEUE_SLOW_SOFT_LIMIT="1", QUEUE_SLOW_HARD_LIMIT="3")
    over = stack.submit("waits.deaf", seconds=60)
    begun(stack, over)
    others = [stack.submit("waits.deaf", seconds=2.5) for _ in range(3)]
    done, *unhurt = stack.ended(over.id, *(job.id for job in others))
    assert (done.state, done.error_type, done.attempt) == (State.FAILED, "timeout", 1)
    assert "TimeLimitExceeded(3.0,)" in (done.error_message or "")
    for job in unhurt:
        unharmed(job)
    # It would wait for one that goes on.
    assert role.stop(20) == 0


@pytest.mark.fault("S4", "what swallows its end goes on for ever")
def test_a_job_that_cannot_be_killed_takes_its_process_with_it(stack: Stack) -> None:
    role = worker(stack, QUEUE_SLOW_SOFT_LIMIT="1", QUEUE_SLOW_HARD_LIMIT="2", QUEUE_SLOW_GRACE="2")
    over = stack.submit("waits.deaf", seconds=60, to_all=True)
    (done,) = stack.ended(over.id)
    assert (done.state, done.error_type, done.attempt) == (State.FAILED, "timeout", 1)
    assert role.process.wait(30) == 1
    assert role.said("a job that cannot be killed")


@pytest.mark.fault("L7", DIES)
def test_a_cancelled_job_that_does_not_look_is_stopped_alone(stack: Stack) -> None:
    worker(stack)
    polite, deaf, other = (stack.submit(task, seconds=25) for task in ("trials.sleep", "waits.deaf", "trials.sleep"))
    begun(stack, polite, deaf, other)
    for job in (polite, deaf):
        operate.cancel(job.id, by="test", client=None)
    *stopped, unhurt = stack.ended(polite.id, deaf.id, other.id, seconds=60)
    assert [job.state for job in stopped] == [State.CANCELLED] * 2
    # By the soft limit's signal, and by a kill.
    assert max((job.ended_at, job.id) for job in stopped)[1] == deaf.id
    unharmed(unhurt)


@pytest.mark.fault("L7", "SIGTERM waits for ever, or the platform kills at 30 s")
def test_at_sigterm_what_ends_in_time_ends_and_the_rest_is_handed_back(stack: Stack) -> None:
    role = worker(stack, QUEUE_SLOW_GRACE="3")
    short, long = stack.submit("trials.sleep", seconds=1), stack.submit("trials.sleep", seconds=60)
    begun(stack, short, long)
    assert role.stop(20) == 0
    unharmed(stack.job(short.id))
    assert stack.job(long.id).state is State.QUEUED
    assert stack.events(long.id)[-1] == "handed back"


@pytest.mark.fault("L1", "all of them are lost with their process")
def test_the_jobs_of_a_worker_that_was_killed_run_on_another(stack: Stack) -> None:
    stack.start("beat")
    role = worker(stack)
    jobs = [stack.submit("trials.sleep", seconds=2) for _ in range(5)]
    begun(stack, *jobs)
    role.kill()
    worker(stack)
    for job in stack.ended(*(job.id for job in jobs), seconds=60):
        assert (job.state, job.attempt, job.losses, job.crashes) == (State.SUCCEEDED, 2, 1, 0)


@pytest.mark.fault("S14", "all wait for the one that computes, and the worker is silent")
def test_a_job_that_computes_is_stopped_and_harms_nobody(stack: Stack) -> None:
    worker(stack)
    other = stack.submit("trials.patient", seconds=6)
    begun(stack, other)
    busy = stack.submit("waits.compute", seconds=60)
    done, unhurt = stack.ended(busy.id, other.id)
    assert (done.state, done.error_type, done.attempt) == (State.FAILED, "timeout", 1)
    assert "whose pool is prefork" in (done.error_message or "")
    unharmed(unhurt)


@pytest.mark.slow
@pytest.mark.fault("L9", "nobody notices: the process lives")
def test_a_process_whose_loop_stands_still_ends_and_says_where(stack: Stack) -> None:
    stack.start("beat")
    role = worker(stack)
    other = stack.submit("trials.sleep", seconds=60)
    begun(stack, other)
    stuck = stack.submit("waits.clutch")
    assert role.process.wait(45) == 1
    assert role.said("in clutch")
    worker(stack)
    (done,) = stack.ended(stuck.id, seconds=60)
    assert (done.state, done.attempt, done.losses) == (State.SUCCEEDED, 2, 1)


@pytest.mark.slow
@pytest.mark.fault("L9", "nobody notices: the other greenlets live")
def test_a_consumer_that_stands_still_is_given_up(stack: Stack) -> None:
    stack.start("beat")
    wedge = stack.directory / "wedge"
    role = worker(stack, WEDGE=f"{wedge}")
    job = stack.submit("trials.sleep", seconds=30)
    begun(stack, job)
    wedge.touch()
    until(lambda: stack.job(job.id).losses, seconds=40)
    assert role.process.poll() is None


@pytest.mark.fault("S12", "a process of greenlets is never replaced")
def test_a_process_that_did_its_share_begins_anew(stack: Stack) -> None:
    share = {"QUEUE_SLOW_CONCURRENCY": "2", "QUEUE_SLOW_MAX_TASKS_PER_CHILD": "2"}
    role = worker(stack, **share)
    jobs = [stack.submit("trials.sleep", seconds=0.5) for _ in range(8)]
    for job in stack.ended(*(job.id for job in jobs), seconds=60):
        unharmed(job)
    assert len({job["pid"] for each in jobs for job in stack.attempts(each.id)}) == 1
    assert role.process.poll() is None
    until(lambda: role.log.read_text().count('"worker ready"') > 1)


@pytest.mark.fault("L11", "a connection for each, and the database refuses them")
def test_more_jobs_in_a_transaction_than_connections(stack: Stack) -> None:
    stack.start("beat")
    worker(stack)
    # On SQLite one writes at a time, and the others wait for 5 s; on PostgreSQL the heartbeat must not wait for them.
    seconds = 5.0 if "postgresql" in stack.environment["DATABASE_URL"] else 0.1
    jobs = [stack.submit("trials.effect", seconds=seconds) for _ in range(20)]
    for job in stack.ended(*(job.id for job in jobs), seconds=60):
        unharmed(job)
        assert stack.effects(job.id) == [1]


@pytest.mark.fault("S14", "a dump shows the loop, and none of those that wait")
def test_where_a_job_waits_is_told_of_its_greenlet(stack: Stack) -> None:
    worker(stack)
    jobs = [stack.submit("trials.sleep", seconds=5), stack.submit("trials.patient", seconds=5)]
    begun(stack, *jobs)
    for job, line in zip(jobs, ("time.sleep(seconds)", "time.sleep(0.1)"), strict=True):
        operate.ask_stack(job.id, by="test", client=None)
        assert line in until(partial(answer, job))

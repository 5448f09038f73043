"""Unique jobs and locks on real workers: one of a key, one at a time, in the order of their submission."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from service.errors import InvalidArguments, WrongState
from service.jobs import Job, State, operate, submit
from tests.support.stack import Stack, until


def lingering(seconds: float, key: str, count: int) -> list[str]:
    """The ids of so many jobs behind one lock."""
    return [submit("trials.linger", {"seconds": seconds}, lock_key=key).id for _ in range(count)]


def held(stack: Stack, key: str) -> Job:
    """A job that has the lock and runs, on the slow queue."""
    row = submit("trials.patient", {"seconds": 60}, lock_key=key)
    until(lambda: stack.job(row.id).state is State.RUNNING)
    return row


def test_while_a_job_with_its_unique_key_waits_or_runs_another_is_that_one(running: Stack) -> None:
    def again(client: str = "shop") -> str:
        return submit("trials.patient", {"seconds": 60}, client=client, unique_key="sync 7").id

    first = again()
    assert again() == first
    until(lambda: running.job(first).state is State.RUNNING)
    assert (again(), submit("trials.broken", {}, client="shop", unique_key="sync 7").id) == (first, first)
    other = again("market")
    assert other != first
    operate.cancel(first, by="test", client=None)
    running.ended(first)
    second = again()
    assert second not in {first, other}
    with pytest.raises(WrongState, match="unique_key"):
        operate.retry(first, by="test", client=None)
    for job_id in (second, other):
        operate.cancel(job_id, by="test", client=None)
    running.ended(second, other)
    assert operate.retry(first, by="test", client=None).state is State.QUEUED
    operate.cancel(first, by="test", client=None)
    running.ended(first)


def test_a_repeat_is_given_its_own_job_and_not_one_that_has_its_unique_key_by_now(stack: Stack) -> None:
    def made(key: str | None) -> str:
        return submit("trials.echo", {"value": "x"}, client="till", idempotency_key=key, unique_key="u").id

    for key in (None, "1"):
        operate.cancel(made(key), by="test", client=None)
    own, older = (row.id for row in stack.jobs("trials.echo"))
    operate.retry(older, by="test", client=None)
    assert made("1") == own


def test_dead_letters_of_one_key_are_retried_one_at_a_time(running: Stack) -> None:
    keys = ("a", "a", "b", None)
    ids = []
    for key in keys:
        ids.append(submit("trials.broken", {}, client="letters", unique_key=key).id)
        running.ended(*ids)
    operate.pause("fast", by="test")
    assert operate.retry_all("trials.broken", "ValueError", by="test") == 3
    assert [running.job(job_id).state for job_id in ids].count(State.QUEUED) == 3
    operate.resume("fast")
    running.ended(*ids, seconds=40)


def test_jobs_of_one_lock_run_one_at_a_time_in_the_order_of_their_submission(running: Stack) -> None:
    ids = lingering(0.2, "account 7", 8)
    done = running.ended(*ids)
    times = [(row.started_at, row.ended_at) for row in done]
    assert all(before[1] <= after[0] for before, after in pairwise(times))  # type: ignore[operator]
    assert {(row.state, row.attempt) for row in done} == {(State.SUCCEEDED, 1)}
    assert {tuple(running.events(job_id)) for job_id in ids} == {("accepted", "started", "succeeded")}
    # The next one is rung with the end of the one before: no sweep is waited for.
    assert times[-1][1] - times[0][0] < timedelta(seconds=8 * 0.2 + 3)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("task", "kwargs"),
    [
        ("trials.broken", {}),
        ("trials.flaky", {"failures": 1}),
        ("trials.deadly", {"times": 1}),
        ("trials.deadly", {"times": 1, "how": "memory"}),
        ("trials.stubborn", {}),
    ],
)
def test_however_its_holder_ends_a_lock_goes_to_the_next(running: Stack, task: str, kwargs: dict[str, object]) -> None:
    holder = submit(task, kwargs, lock_key="account 9")
    (following,) = lingering(0, "account 9", 1)
    ended, done = running.ended(holder.id, following)
    assert done.state is State.SUCCEEDED
    assert done.attempt == 1
    # One that waits for its next attempt has let the lock go; after a crash that is half a second, often too short.
    if task != "trials.deadly":
        assert done.started_at is not None
        assert ended.started_at is not None
        assert (done.started_at < ended.started_at) == (ended.attempt > 1)


def test_a_cancelled_holder_lets_the_next_one_run_and_a_cancelled_waiter_is_passed_over(running: Stack) -> None:
    holder = held(running, "account 10")
    ids = lingering(0, "account 10", 3)
    operate.cancel(ids[0], by="test", client=None)
    operate.cancel(holder.id, by="test", client=None)
    states = [row.state for row in running.ended(holder.id, *ids, seconds=20)]
    assert states == [State.CANCELLED, State.CANCELLED, State.SUCCEEDED, State.SUCCEEDED]


def test_those_of_a_paused_queue_or_for_later_stand_in_nobodys_way(running: Stack) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    scheduled = submit("trials.echo", {"value": "later"}, lock_key="account 11", run_at=later)
    operate.pause("slow", by="test")
    paused = submit("trials.patient", {"seconds": 0.1}, lock_key="account 11")
    (done,) = running.ended(*lingering(0, "account 11", 1))
    assert done.state is State.SUCCEEDED
    assert (running.job(scheduled.id).waiting_for, running.job(paused.id).waiting_for) == ("time", "pause")
    operate.resume("slow")
    running.ended(paused.id, seconds=40)
    operate.cancel(scheduled.id, by="test", client=None)


@pytest.mark.parametrize("field", ["unique_key", "lock_key"])
@pytest.mark.parametrize("key", ["", "x" * 1000, "a\x00b", 7])
def test_a_key_that_is_none_is_refused_and_nothing_submitted(running: Stack, field: str, key: str) -> None:
    before = len(running.jobs("trials.echo"))
    with pytest.raises(InvalidArguments, match=f"expected {field} to be 1 to 200 printable characters") as refused:
        submit("trials.echo", {"value": "x"}, **{field: key})  # type: ignore[arg-type]
    assert (refused.value.field, len(running.jobs("trials.echo"))) == (field, before)

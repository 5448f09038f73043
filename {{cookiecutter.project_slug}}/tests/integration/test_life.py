"""The life of a job on real workers: submitted, claimed, done, failed, retried, cancelled."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from service import database
from service.errors import WrongState
from service.jobs import State, doorbell, operate, query, submit
from tests.support.receiver import Answer, Receiver, Sent
from tests.support.stack import Stack, until


def test_a_submitted_job_is_done_and_keeps_its_result(running: Stack) -> None:
    row = running.submit("trials.echo", value="hello")
    (done,) = running.ended(row.id)
    assert (done.state, done.result, done.attempt) == (State.SUCCEEDED, "hello", 1)
    assert running.events(row.id) == ["accepted", "started", "succeeded"]


def test_accepting_is_one_statement_where_there_is_a_way_to_the_server(running: Stack) -> None:
    running.submit("trials.echo", value="the first looks up the task")
    seen: list[str] = []
    event.listen(database.engine(), "before_cursor_execute", lambda *given: seen.append(given[2].split()[0]))
    row = running.submit("trials.echo", value="the second")
    assert seen == (["WITH"] if database.engine().dialect.name == "postgresql" else ["BEGIN", "INSERT", "INSERT"])
    running.ended(row.id)


def test_what_may_pass_is_tried_again_and_what_will_not_is_a_dead_letter(running: Stack) -> None:
    passing, failing = running.submit("trials.flaky", failures=1), running.submit("trials.broken")
    passed, failed = running.ended(passing.id, failing.id)
    assert (passed.state, passed.attempt, passed.failures) == (State.SUCCEEDED, 2, 1)
    assert (failed.state, failed.attempt, failed.error_type) == (State.FAILED, 1, "ValueError")
    assert "the data are wrong" in (failed.traceback or "")
    again = operate.retry(failing.id, by="test", client=None)
    assert (again.state, again.failures) == (State.QUEUED, 0)
    (failed,) = running.ended(failing.id)
    assert (failed.state, failed.attempt) == (State.FAILED, 2)
    assert operate.discard(failing.id, by="test", client=None).state is State.CANCELLED


def test_a_running_job_that_looks_stops_when_it_is_cancelled(running: Stack) -> None:
    row = running.submit("trials.patient", seconds=60)
    until(lambda: running.job(row.id).progress_done)
    operate.cancel(row.id, by="test", client=None)
    (done,) = running.ended(row.id, seconds=10)
    assert done.state is State.CANCELLED
    assert running.events(row.id)[-2:] == ["cancel requested", "cancelled"]
    with pytest.raises(WrongState, match="got: cancelled"):
        operate.cancel(row.id, by="test", client=None)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "3600"}])
def test_a_job_that_was_asked_to_stop_is_not_tried_again(running: Stack, headers: dict[str, str]) -> None:
    """Nor does a third party decide how long it waits."""

    def refuse(sent: Sent) -> Answer:
        operate.cancel(sent.headers["idempotency-key"], by="test", client=None)
        return 503, headers

    with Receiver(answer=refuse) as party:
        row = running.submit("trials.posts", url=party.url)
        (done,) = running.ended(row.id, seconds=10)
    assert (done.state, done.attempt, len(party.sent)) == (State.CANCELLED, 1, 1)
    assert running.events(row.id) == ["accepted", "started", "cancel requested", "cancelled"]


def test_a_scheduled_job_runs_at_its_time_and_not_before(running: Stack) -> None:
    when = datetime.now(UTC) + timedelta(seconds=4)
    row = submit("trials.echo", {"value": "later"}, run_at=when)
    assert row.waiting_for == "time"
    (done,) = running.ended(row.id)
    assert done.started_at is not None
    assert timedelta(0) <= done.started_at - when < timedelta(seconds=5)


def test_a_paused_queue_keeps_its_jobs_until_it_is_resumed(running: Stack) -> None:
    operate.pause("fast", by="test")
    row = running.submit("trials.echo", value="held")
    assert running.job(row.id).waiting_for == "pause"
    doorbell.flush(5)
    until(lambda: running.broker_depth("fast") == 0)
    assert running.job(row.id).state is State.QUEUED
    operate.resume("fast")
    (done,) = running.ended(row.id, seconds=40)
    assert done.state is State.SUCCEEDED


def test_a_waiting_job_that_is_moved_runs_on_the_other_queue(running: Stack) -> None:
    operate.pause("fast", by="test")
    row = running.submit("trials.echo", value="moved")
    operate.move(row.id, "slow", by="test", client=None)
    (done,) = running.ended(row.id)
    assert (done.state, done.queue) == (State.SUCCEEDED, "slow")
    operate.resume("fast")


def test_a_job_commits_its_effects_with_its_success_or_not_at_all(running: Stack) -> None:
    good, bad = running.submit("trials.effect", seconds=0), running.submit("trials.effect", seconds=0, fail=True)
    assert [row.state for row in running.ended(good.id, bad.id)] == [State.SUCCEEDED, State.FAILED]
    assert (running.effects(good.id), running.effects(bad.id)) == ([1], [])


def test_a_step_submits_the_next_one_with_its_own_success(running: Stack) -> None:
    running.submit("trials.chain", left=3)
    until(lambda: [row.result for row in running.jobs("trials.chain")] == [0, 1, 2, 3])


@pytest.mark.parametrize("what", ["object", "large", "nan"])
def test_a_result_that_cannot_be_kept_fails_the_job_with_that_reason(running: Stack, what: str) -> None:
    (done,) = running.ended(running.submit("trials.returns", what=what).id)
    assert (done.state, done.error_type) == (State.FAILED, "result")


def test_a_running_job_says_where_it_is(running: Stack) -> None:
    row = running.submit("trials.sleep", seconds=20)
    until(lambda: running.job(row.id).state is State.RUNNING)
    operate.ask_stack(row.id, by="test", client=None)
    told = until(lambda: [event for event in query.events(row.id, None) if event.event == "stack" and event.message])
    assert [event.by for event in told] == ["test"]
    assert "trials.py" in (told[0].message or "")
    assert "in sleep" in (told[0].message or "")
    operate.cancel(row.id, by="test", client=None)

"""Schedules: each run is one job, however many submit it; what overlaps, is paused, or comes too late."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.jobs import Job, State, operate, submit
from service.jobs.shapes import schedules
from service.queues import SCHEDULE
from service.schedules import Schedule
from tests.integration.test_commands import command
from tests.support.sentry import Sentry
from tests.support.stack import Stack, until

NAME = "every-hour"
HOUR = timedelta(hours=1)

Declare = Callable[..., datetime]


@pytest.fixture
def declare(stack: Stack) -> Iterator[Declare]:
    """Declare a schedule, alone, and let beat see it; gives when it is due first."""
    others = dict(SCHEDULE)
    SCHEDULE.clear()

    def act(**fields: Any) -> datetime:
        given = {"task": "trials.echo", "cron": "0 * * * *", "kwargs": {"value": ""}, **fields}
        SCHEDULE[NAME] = Schedule(**given)
        schedules.submit_due(datetime.now(UTC))
        due = schedules.status(NAME).next_at
        assert due is not None
        return due

    yield act
    SCHEDULE.clear()
    SCHEDULE.update(others)


def runs(stack: Stack) -> list[Job]:
    """The runs that were submitted, oldest first."""
    return [job for job in reversed(stack.jobs("trials.echo")) if job.client == "beat"]


def keys(stack: Stack) -> list[str | None]:
    """The moments of the runs."""
    return [job.idempotency_key and job.idempotency_key.partition("@")[2] for job in runs(stack)]


class TestARun:
    def test_submitted_twice_is_one_job_that_expires_with_the_next_run(self, stack: Stack, declare: Declare) -> None:
        due = declare()
        assert runs(stack) == []
        assert schedules.submit_due(due - timedelta(seconds=5)) == 5
        assert schedules.submit_due(due) == HOUR.total_seconds()
        schedules.submit_due(due + timedelta(seconds=1))
        (job,) = runs(stack)
        assert (job.client, job.queue, job.kwargs) == ("beat", "fast", {"value": ""})
        assert (job.idempotency_key, job.expires_at) == (f"{NAME}@{due:%Y-%m-%dT%H:%MZ}", due + HOUR)
        seen = schedules.status(NAME)
        assert (seen.last_at, seen.last_job_id, seen.next_at, seen.missed) == (due, job.id, due + HOUR, 0)

    def test_in_a_zone_of_its_own(self, stack: Stack, declare: Declare) -> None:
        due = declare(cron="30 9 * * *", timezone="Asia/Kolkata")
        assert (due.hour, due.minute) == (4, 0)

    def test_that_was_missed_is_made_up_for_as_long_as_it_is_wanted(self, stack: Stack, declare: Declare) -> None:
        due = declare()
        schedules.submit_due(due + 2.5 * HOUR)
        assert keys(stack) == [f"{due + 2 * HOUR:%Y-%m-%dT%H:%MZ}"]
        seen = schedules.status(NAME)
        assert (seen.missed, seen.missed_at, seen.next_at) == (2, due + HOUR, due + 3 * HOUR)

    def test_that_comes_after_its_expiry_is_missed(self, stack: Stack, declare: Declare) -> None:
        due = declare(expires=600)
        schedules.submit_due(due + timedelta(seconds=601))
        assert (runs(stack), schedules.status(NAME).missed) == ([], 1)
        schedules.submit_due(due + HOUR + timedelta(seconds=599))
        assert runs(stack)[0].expires_at == due + HOUR + timedelta(seconds=600)

    def test_is_of_the_line_that_is_declared_now(self, stack: Stack, declare: Declare) -> None:
        declare()
        due = declare(cron="30 * * * *")
        assert due.minute == 30
        schedules.submit_due(due)
        assert (keys(stack), schedules.status(NAME).missed) == ([f"{due:%Y-%m-%dT%H:%MZ}"], 0)

    def test_that_is_refused_is_tried_again(self, stack: Stack, declare: Declare) -> None:
        due = declare(kwargs={"wrong": 1})
        schedules.submit_due(due)
        assert (runs(stack), schedules.status(NAME).next_at) == ([], due)
        SCHEDULE[NAME] = SCHEDULE[NAME].model_copy(update={"kwargs": {"value": "right"}})
        schedules.submit_due(due + timedelta(seconds=10))
        assert [job.kwargs for job in runs(stack)] == [{"value": "right"}]

    def test_a_year_of_them_is_caught_up_with_in_steps(self, stack: Stack, declare: Declare) -> None:
        due = declare()
        late = due + 400 * 24 * HOUR
        while schedules.submit_due(late) <= 0:
            pass
        assert (len(runs(stack)), schedules.status(NAME).missed) == (1, 400 * 24)


class TestOverlap:
    def begin(self, stack: Stack, declare: Declare, overlap: str) -> list[Job]:
        """Two runs, of which nobody has done the first."""
        due = declare(overlap=overlap, expires=7200)
        schedules.submit_due(due)
        schedules.submit_due(due + HOUR)
        return runs(stack)

    def test_skipped(self, stack: Stack, declare: Declare) -> None:
        (job,) = self.begin(stack, declare, "skip")
        assert stack.events(job.id) == ["accepted", "run skipped"]
        assert schedules.status(NAME).last_job_id == job.id
        operate.cancel(job.id, by="test", client=None)
        due = schedules.status(NAME).next_at
        assert due is not None
        schedules.submit_due(due)
        assert len(runs(stack)) == 2

    def test_queued(self, stack: Stack, declare: Declare) -> None:
        first, second = self.begin(stack, declare, "queue")
        assert first.lock_key == second.lock_key == f"schedule {NAME}"
        stack.start("worker", "fast")
        done = stack.ended(first.id, second.id)
        assert [job.state for job in done] == [State.SUCCEEDED] * 2
        assert done[0].ended_at is not None
        assert done[1].started_at is not None
        assert done[0].ended_at <= done[1].started_at

    def test_allowed(self, stack: Stack, declare: Declare) -> None:
        first, second = self.begin(stack, declare, "allow")
        assert {first.lock_key, first.unique_key, second.lock_key, second.unique_key} == {None}


class TestPause:
    def test_submits_nothing_and_misses_nothing(self, stack: Stack, declare: Declare) -> None:
        due = declare()
        schedules.pause(NAME, by="ops")
        schedules.submit_due(due + 2.5 * HOUR)
        schedules.resume(NAME, by="ops")
        schedules.submit_due(due + 2.6 * HOUR)
        assert (runs(stack), schedules.status(NAME).missed) == ([], 0)
        schedules.submit_due(due + 3 * HOUR)
        assert keys(stack) == [f"{due + 3 * HOUR:%Y-%m-%dT%H:%MZ}"]

    def test_outlives_beat(self, stack: Stack, declare: Declare) -> None:
        due = declare()
        stack.environment["SCHEDULES"] = json.dumps({NAME: SCHEDULE[NAME].model_dump()})
        assert command(stack, "schedules", "pause", NAME).returncode == 0
        shift = (due - datetime.now(UTC)).total_seconds()
        for hours in (0, 1):
            beat = stack.start("beat", STORE_CLOCK=f"{shift + 3600 * hours + 5}")
            following = due + (hours + 1) * HOUR
            until(lambda following=following: row().due_at == following)  # type: ignore[misc]
            assert beat.stop() == 0
        assert (runs(stack), row().paused_by) == ([], "operator")

    def test_and_the_others_by_command(self, stack: Stack, declare: Declare) -> None:
        declare()
        stack.environment["SCHEDULES"] = json.dumps({NAME: SCHEDULE[NAME].model_dump()})
        assert NAME in command(stack, "schedules", "list").stdout
        paused = command(stack, "schedules", "pause", NAME)
        assert (paused.returncode, "by operator since" in paused.stdout) == (0, True)
        fired = json.loads(command(stack, "schedules", "fire", NAME, "--json").stdout)
        assert stack.events(fired["id"]) == ["accepted", "fired"]
        again = command(stack, "schedules", "fire", NAME)
        assert (again.returncode, fired["id"] in again.stderr) == (1, True)
        resumed = json.loads(command(stack, "schedules", "resume", NAME, "--json").stdout)
        assert (resumed["paused"], resumed["next_at"] is not None) == (False, True)
        listed = json.loads(command(stack, "schedules", "list", "--json").stdout)["schedules"]
        assert [each["missed"] for each in listed if each["name"] == NAME] == [0]
        unknown = command(stack, "schedules", "pause", "nothing")
        assert (unknown.returncode, "expected schedule to be one of" in unknown.stderr) == (1, True)


def row() -> schedules.Clock:
    """What the store has of the schedule."""
    (found,) = [clock for name, _, clock in schedules._rows() if name == NAME]
    return found


def test_check_refuses_what_nobody_could_submit_or_do(stack: Stack) -> None:
    wrong = {
        "unknown": {"task": "trials.ecko", "cron": "0 * * * *"},
        "unfit": {"task": "trials.echo", "cron": "0 * * * *", "kwargs": {"other": 1}},
    }
    checked = command(stack, "check", SCHEDULES=json.dumps(wrong))
    assert checked.returncode == 1
    assert "schedule unknown: expected task to be one of" in checked.stderr
    assert "got: trials.ecko; correct it" in checked.stderr
    assert "schedule unfit: trials.echo:" in checked.stderr


@pytest.mark.slow
def test_a_run_checks_in_as_its_job_goes(stack: Stack, sentry: Sentry) -> None:
    name, schedule = next(iter(SCHEDULE.items()))
    worker = stack.start("worker", "fast")
    job = schedules.fire(name, by="test")
    stack.ended(job.id)
    # Not a run of the schedule, although it is the same task.
    stack.ended(submit(schedule.task, schedule.kwargs).id)
    until(lambda: len(sentry.check_ins) >= 2)
    worker.stop()
    assert [(each["monitor_slug"], each["status"]) for each in sentry.check_ins] == [
        (name, "in_progress"), (name, "ok"),
    ]  # fmt: skip
    assert {each["check_in_id"] for each in sentry.check_ins} == {job.id.replace("-", "")}
    assert {name for each in sentry.check_ins for name in each} == {
        "type", "event_id", "monitor_slug", "check_in_id", "status", "environment", "release", "monitor_config",
    }  # fmt: skip
    (monitor, *_) = (each["monitor_config"] for each in sentry.check_ins)
    assert monitor["schedule"] == {"type": "crontab", "value": schedule.cron}
    assert monitor["timezone"] == schedule.timezone

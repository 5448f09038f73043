"""What wrong clocks do to work: none starts early and none starts twice, because the store's clock decides."""

import json
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from service.jobs import Job, State, submit
from tests.support.callers import Api
from tests.support.door import PATH
from tests.support.stack import Role, Stack, until
from tests.support.table import Recovered

AHEAD_AND_BEHIND = pytest.mark.parametrize("shift", [3600.0, -3600.0], ids=["ahead", "behind"])


def clock(stack: Stack, shift: float) -> str:
    """A clock that is wrong by so many seconds from now on; a role with this file in CLOCK goes by it."""
    file, written = stack.directory / "clock", stack.directory / "clock.new"
    written.write_text(f"{shift}")
    written.replace(file)
    return str(file)


def reading(role: Role) -> datetime:
    """What a role's clock showed when it last said something."""
    return datetime.fromisoformat(json.loads(role.log.read_text().splitlines()[-1])["timestamp"])


def in_time_and_once(stack: Stack, row: Job, when: datetime, recovered: Recovered) -> None:
    """Hold that the job was started once, and not before its time."""
    (done,) = stack.ended(row.id, seconds=45)
    assert done.started_at is not None
    recovered((done.started_at - when).total_seconds())
    assert done.started_at >= when
    assert (done.state, done.attempt, len(stack.attempts(row.id))) == (State.SUCCEEDED, 1, 1)


@pytest.mark.fault("U8", "early or double runs")
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
def test_a_worker_in_another_time_zone_runs_nothing_early(stack: Stack, recovered: Recovered, zone: str) -> None:
    stack.start("worker", "fast", TZ=zone)
    when = datetime.now(UTC) + timedelta(seconds=3)
    row = submit("trials.echo", {"value": "later"}, run_at=when)
    in_time_and_once(stack, row, when, recovered)


@pytest.mark.fault("U8", "an ETA is a date, and each worker reads it by its own clock")
@AHEAD_AND_BEHIND
def test_a_worker_whose_clock_is_an_hour_wrong_runs_nothing_early(
    stack: Stack, recovered: Recovered, shift: float
) -> None:
    # Beat, whose clock is right, is there first: it rings for the worker, whose clock is not.
    stack.start("beat")
    until(lambda: (stack.directory / "beat.heartbeat").exists())
    worker = stack.start("worker", "fast", CLOCK=clock(stack, shift))
    when = datetime.now(UTC) + timedelta(seconds=3)
    row = submit("trials.echo", {"value": "later"}, run_at=when)
    retried = stack.submit("trials.flaky", failures=1)
    in_time_and_once(stack, row, when, recovered)
    (done,) = stack.ended(retried.id, seconds=45)
    assert (done.state, done.attempt, done.failures) == (State.SUCCEEDED, 2, 1)
    assert abs((reading(worker) - datetime.now(UTC)).total_seconds() - shift) < 60


@pytest.mark.fault("U8", "an hour ahead, Redis gives every message in hand to another worker")
@AHEAD_AND_BEHIND
def test_a_clock_that_jumps_while_a_job_runs_starts_it_no_second_time(
    stack: Stack, recovered: Recovered, shift: float
) -> None:
    worker = stack.start("worker", "slow", CLOCK=clock(stack, 0))
    row = stack.submit("trials.sleep", seconds=7)
    until(lambda: stack.attempts(row.id))
    clock(stack, shift)
    jumped = time.monotonic()
    after = stack.submit("trials.sleep", seconds=0)
    stack.ended(after.id)
    recovered(time.monotonic() - jumped)
    (done,) = stack.ended(row.id)
    assert (done.state, done.attempt, len(stack.attempts(row.id))) == (State.SUCCEEDED, 1, 1)
    assert (done.failures, done.crashes, done.losses) == (0, 0, 0)
    assert worker.process.poll() is None
    assert abs((reading(worker) - datetime.now(UTC)).total_seconds() - shift) < 60


@pytest.mark.fault("U8", "the ETA is compared with the caller's clock")
@AHEAD_AND_BEHIND
def test_an_api_whose_clock_is_an_hour_wrong_lets_nothing_run_early(
    stack: Stack, recovered: Recovered, shift: float
) -> None:
    stack.start("worker", "fast")
    api = Api(stack, CLOCK=clock(stack, shift))
    when = datetime.now(UTC) + timedelta(seconds=5)
    with api.client() as client:
        order = {"task": "trials.echo", "arguments": {"value": "later"}, "run_at": when.isoformat()}
        job = client.post(PATH, json=order).json()
    in_time_and_once(stack, stack.job(job["id"]), when, recovered)


@pytest.mark.fault("U8", "the hour that comes twice runs twice, and the one that is left out not at all")
@pytest.mark.parametrize("change", ["2026-10-25T01:00Z", "2027-03-28T01:00Z"], ids=["back", "forward"])
def test_a_worker_whose_summer_begins_or_ends_runs_nothing_early(
    stack: Stack, recovered: Recovered, change: str
) -> None:
    moment = datetime.fromisoformat(change)
    before, after = (second.astimezone(ZoneInfo("Europe/Berlin")) for second in (moment - timedelta(hours=1), moment))
    assert before.utcoffset() != after.utcoffset()
    # However long its start takes, the change comes after it.
    wrong = clock(stack, (moment - datetime.now(UTC)).total_seconds() - 300)
    worker = stack.start("worker", "fast", TZ="Europe/Berlin", CLOCK=wrong)
    assert reading(worker) < moment
    when = datetime.now(UTC) + timedelta(seconds=5)
    clock(stack, (moment - when).total_seconds() + 2)
    row = submit("trials.echo", {"value": "later"}, run_at=when)
    retried = [stack.submit("trials.flaky", failures=2) for _ in range(5)]
    in_time_and_once(stack, row, when, recovered)
    assert {job.attempt for job in stack.ended(*(job.id for job in retried), seconds=45)} == {3}
    assert reading(worker) > moment

"""Ways in which what is due by the clock is done twice, early, or never with nobody told; and that here it is not."""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service import database
from service.jobs import Job, State
from service.jobs.model import Lease
from service.jobs.shapes import schedules
from tests.faults.test_wrong_clocks import clock
from tests.integration.test_commands import command
from tests.support.stack import Role, Stack, until
from tests.support.table import Recovered

NAME = "trial"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TRIAL = {"task": "trials.echo", "cron": "0 12 * * *", "kwargs": {"value": ""}}
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)

# On SQLite one transaction writes at a time: a beat that is frozen in one holds the whole store.
POSTGRESQL = pytest.mark.skipif("TEST_DATABASE_URL" not in os.environ, reason="rows are locked on PostgreSQL alone")


def declare(stack: Stack, **declared: dict[str, Any]) -> None:
    """Let every process that is started from now on have these schedules, too."""
    stack.environment["SCHEDULES"] = json.dumps({name: TRIAL | fields for name, fields in declared.items()})


def seconds_to(moment: datetime) -> str:
    """By how much a clock is wrong that shows this moment now."""
    return f"{(moment - datetime.now(UTC)).total_seconds()}"


def beat_until(stack: Stack, moment: datetime, passed: datetime, name: str = NAME) -> Role:
    """Let a beat run for which the store's clock shows this moment at first, until it is beyond what is due by then."""
    beat = stack.start("beat", STORE_CLOCK=seconds_to(moment))
    until(lambda: is_beyond(passed, name), seconds=60)
    assert beat.stop() == 0
    return beat


def is_beyond(moment: datetime, name: str = NAME) -> bool:
    """Whether somebody has seen to all that was due by this moment."""
    with database.standalone() as session:
        row = session.get(schedules.Clock, name)
        return row is not None and row.due_at > moment


def has_lease(beat: Role) -> bool:
    """Whether it is this one that is at work."""
    with database.standalone() as session:
        return f":{beat.pid}:" in session.get_one(Lease, "beat").holder


def runs(stack: Stack, name: str = NAME) -> list[Job]:
    """The runs that were submitted, in their order."""
    found = [job for job in stack.jobs("trials.echo") if (job.idempotency_key or "").startswith(f"{name}@")]
    return sorted(found, key=lambda job: f"{job.idempotency_key}")


def moments(stack: Stack, name: str = NAME) -> list[str]:
    """When they were due."""
    return [f"{job.idempotency_key}".partition("@")[2] for job in runs(stack, name)]


def said(moment: datetime) -> str:
    """The moment in a run's key."""
    return f"{moment:%Y-%m-%dT%H:%MZ}"


@pytest.mark.fault("L10", "periodic work stops with the beat, or runs twice with two (measured: 12 instead of 6)")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_of_three_beats_another_takes_over_within_a_minute(
    stack: Stack, recovered: Recovered, how: signal.Signals
) -> None:
    declare(stack, trial={"cron": "* * * * *"})
    # As rendered; the first minute ends soon.
    stack.environment |= {"HEARTBEAT_SECONDS": "10", "STORE_CLOCK": seconds_to(NOON - timedelta(seconds=20))}
    first = stack.start("beat")
    until(lambda: has_lease(first))
    others = [stack.start("beat") for _ in range(2)]
    # It is seen to in one transaction, and told after it.
    until(lambda: is_beyond(NOON) and first.said("periodic job submitted"), seconds=60)
    first.signal(how)
    stopped = time.monotonic()
    until(lambda: any(has_lease(other) for other in others), seconds=60)
    recovered(time.monotonic() - stopped)
    # The one that was frozen wakes, and it is not its turn.
    first.signal(signal.SIGCONT)
    until(lambda: is_beyond(NOON + MINUTE), seconds=90)
    assert moments(stack) == [said(NOON), said(NOON + MINUTE)]
    assert until(lambda: sum(other.said("periodic job submitted") for other in others)) == 1
    assert first.log.read_text().count("periodic job submitted") == 1


@pytest.mark.fault("L10", "a beat that was frozen over a run that is due submits it when it wakes")
def test_a_beat_that_is_frozen_with_its_lease_in_hand_doubles_nothing(stack: Stack, recovered: Recovered) -> None:
    # Overlaps are allowed, so that no earlier run keeps it from another.
    declare(stack, trial={"overlap": "allow"})
    beat_until(stack, NOON - MINUTE, NOON - MINUTE)
    wedge = stack.directory / "wedge"
    wedge.touch()
    shift = seconds_to(NOON)
    frozen = stack.start("beat", STORE_CLOCK=shift, WEDGE_LEASE=f"{wedge}")
    until(wedge.with_name("wedge.reached").exists)
    began = time.monotonic()
    other = stack.start("beat", STORE_CLOCK=shift)
    until(lambda: is_beyond(NOON), seconds=60)
    recovered(time.monotonic() - began)
    assert not has_lease(frozen)
    wedge.unlink()
    until(wedge.with_name("wedge.passed").exists)
    assert (moments(stack), len(stack.jobs("trials.echo"))) == ([said(NOON)], 1)
    assert [role.stop() for role in (frozen, other)] == [0, 0]


@POSTGRESQL
@pytest.mark.fault("L10", "a beat that is frozen over its own store's lock holds up all others for as long")
def test_a_beat_that_is_frozen_in_the_middle_of_a_run_holds_up_no_other(stack: Stack, recovered: Recovered) -> None:
    declare(stack, trial={"overlap": "allow"})
    beat_until(stack, NOON - MINUTE, NOON - MINUTE)
    wedge = stack.directory / "wedge"
    wedge.touch()
    shift = seconds_to(NOON)
    frozen = stack.start("beat", STORE_CLOCK=shift, WEDGE_RUN=f"{wedge}")
    until(wedge.with_name("wedge.reached").exists)
    frozen.signal(signal.SIGSTOP, group=True)
    began = time.monotonic()
    stack.start("beat", STORE_CLOCK=shift)
    until(lambda: is_beyond(NOON), seconds=60)
    recovered(time.monotonic() - began)
    wedge.unlink()
    frozen.signal(signal.SIGCONT, group=True)
    until(lambda: frozen.said("store unreachable, the schedule waits"))
    assert (moments(stack), len(stack.jobs("trials.echo"))) == ([said(NOON)], 1)


@pytest.mark.fault("L10", "what was due while no beat was there is forgotten, and nobody told")
def test_a_run_that_no_beat_was_there_for_is_made_up_for_or_reported(stack: Stack) -> None:
    declare(stack, trial={}, punctual={"expires": 600})
    beat_until(stack, NOON - MINUTE, NOON - MINUTE, "punctual")
    alone = {"STORE_CLOCK": seconds_to(NOON + 5 * MINUTE)}
    listed = json.loads(command(stack, "schedules", "list", "--json", **alone).stdout)["schedules"]
    assert {each["name"]: each["late"] for each in listed if each["name"] in {NAME, "punctual"}} == {
        NAME: True, "punctual": True,
    }  # fmt: skip
    late = NOON + 2 * DAY + 60 * MINUTE
    beat = beat_until(stack, late, late, "punctual")
    assert (moments(stack), moments(stack, "punctual")) == ([said(NOON + 2 * DAY)], [])
    lines = [json.loads(line) for line in beat.log.read_text().splitlines()]
    told = [line for line in lines if line["event"] == "runs of the schedule missed" and line["level"] == "error"]
    missed = {line["entry"]: line["count"] for line in told}
    assert (missed[NAME], missed["punctual"]) == (2, 3)
    rows = [stack.get(schedules.Clock, name) for name in (NAME, "punctual")]
    assert [row and row.missed for row in rows] == [2, 3]


@pytest.mark.fault("S9", "each run that nobody was there for waits, and all of them come at once")
def test_runs_that_no_worker_was_there_for_expire_and_hold_up_none(stack: Stack) -> None:
    declare(stack, trial={"cron": "* * * * *"})
    beat_until(stack, NOON - timedelta(seconds=30), NOON - MINUTE)
    for minute in range(3):
        due = NOON + minute * MINUTE
        beat_until(stack, due + timedelta(seconds=1), due)
    assert moments(stack) == [said(NOON + minute * MINUTE) for minute in range(3)]
    stack.start("worker", "fast", STORE_CLOCK=seconds_to(NOON + 2 * MINUTE + timedelta(seconds=10)))
    done = stack.ended(*(job.id for job in runs(stack)))
    assert [job.state for job in done] == [State.CANCELLED, State.CANCELLED, State.SUCCEEDED]
    assert [len(stack.attempts(job.id)) for job in done] == [0, 0, 1]


@pytest.mark.fault("U8", "the hour that comes twice runs twice, and the one that is left out not at all")
@pytest.mark.parametrize(
    ("first", "second"),
    [("2026-10-25T00:30Z", "2026-10-25T01:30Z"), ("2027-03-28T01:00Z", "2027-03-28T01:30Z")],
    ids=["back", "forward"],
)
def test_a_run_in_the_hour_that_comes_twice_or_is_left_out_is_one(stack: Stack, first: str, second: str) -> None:
    """The first is when it is 02:30 in Berlin, or would be; the second when it is that again, or would have been."""
    once, again = datetime.fromisoformat(first), datetime.fromisoformat(second)
    witness = {"cron": f"{again.minute} {again.hour} * * *"}
    declare(stack, trial={"cron": "30 2 * * *", "timezone": "Europe/Berlin"}, witness=witness)
    beat_until(stack, once - 10 * MINUTE, once - 10 * MINUTE, "witness")
    beat_until(stack, once - timedelta(seconds=5), once)
    (run,) = runs(stack)
    assert (run.idempotency_key, run.created_at >= once) == (f"{NAME}@{first}", True)
    beat_until(stack, again - timedelta(seconds=5), again, "witness")
    assert (moments(stack), moments(stack, "witness")) == ([first], [second])


@pytest.mark.fault("U8", "whoever runs beat runs it early")
def test_a_beat_whose_clock_is_wrong_submits_nothing_early(stack: Stack) -> None:
    due = (datetime.now(UTC) + DAY / 2).replace(second=0, microsecond=0)
    declare(stack, trial={"cron": f"{due.minute} {due.hour} * * *"})
    wrong = clock(stack, (due - datetime.now(UTC)).total_seconds() - 3)
    beat = stack.start("beat", CLOCK=wrong)
    until(lambda: has_lease(beat))
    time.sleep(8)
    assert beat.process.poll() is None
    assert (runs(stack), is_beyond(due - MINUTE), is_beyond(due)) == ([], True, False)

"""Releases on real processes: forward, back by itself when a version is broken, on after a kill, or refused."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from deploy.platform import ROLES, Failed, Record, Refused
from deploy.release import FORWARD, Release, to_go_back
from service.jobs import State, catalogue, submit
from service.jobs.model import Task
from service.queues import QUEUES
from tests.support.place import Machine
from tests.support.stack import Stack

pytestmark = pytest.mark.slow


class Audience:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def started(self) -> None:
        self.heard.append("started")

    def progressed(self, target: str) -> None:
        self.heard.append(target)

    def succeeded(self) -> None:
        self.heard.append("succeeded")

    def failed(self, reason: str, rolled_back: bool) -> None:
        self.heard += [f"failed, {'rolled back' if rolled_back else 'left'}", reason]


@pytest.fixture
def place(stack: Stack) -> Machine:
    """Where version "one" runs already."""
    stack.environment.pop("TRIALS")
    made = Machine(stack, "broken")
    Release(made, "staging", "one").forward(FORWARD, Audience())
    return made


def canaries(stack: Stack) -> list[State]:
    return [row.state for queue in QUEUES for row in stack.jobs(f"canary.{queue}")]


def test_forward_ends_with_every_role_in_the_new_version_and_a_job_of_each_queue_done(
    place: Machine, stack: Stack
) -> None:
    audience, said = Audience(), list[str]()
    assert place.record() == Record("one", "", "done")
    before = stack.submit("maintenance.purge")
    Release(place, "staging", "two", said.append).forward(FORWARD, audience)
    assert set(place.versions().values()) == {"two"}
    assert place.record() == Record("two", "one", "done")
    assert audience.heard == ["started", *FORWARD, "succeeded"]
    assert said[0] == "staging: fit -> two"
    assert httpx.get(f"{place.environment['API_URL']}/health/ready").json()["version"] == "two"
    assert canaries(stack) == [State.SUCCEEDED] * 2 * len(QUEUES)
    assert stack.ended(before.id)[0].state is State.SUCCEEDED


def test_targets_are_done_in_their_order_however_they_are_named(place: Machine, stack: Stack) -> None:
    audience = Audience()
    Release(place, "staging", "two").forward(("worker-fast", "fit"), audience)
    assert audience.heard == ["started", "fit", "worker-fast"]


def test_a_version_that_does_not_start_goes_back_by_itself_and_says_so(place: Machine, stack: Stack) -> None:
    audience = Audience()
    with pytest.raises(Failed) as failure:
        Release(place, "staging", "broken").forward(FORWARD, audience)
    assert place.versions() == dict.fromkeys(ROLES, "one")
    assert place.record() == Record("broken", "one", "rolled back")
    assert str(failure.value).startswith("api: expected api to run, got: ")
    assert "went back to one, which was verified; mend it and deploy again" in str(failure.value)
    assert audience.heard[-2:] == ["failed, rolled back", str(failure.value)]
    # The next one goes forward from what runs, not from what failed.
    Release(place, "staging", "two").forward(FORWARD, Audience())
    assert place.record() == Record("two", "one", "done")


def test_after_a_kill_it_goes_on_and_still_knows_what_was_there_before(place: Machine) -> None:
    Release(place, "staging", "two").forward(("fit", "migrate", *ROLES), Audience())
    assert place.record() == Record("two", "one", "under way")
    again = Release(place, "staging", "two")
    assert again.plan(("api", "verify")) == ["api: two -> two, already there", "verify: run in two"]
    again.forward(FORWARD, Audience())
    assert place.record() == Record("two", "one", "done")
    to_go_back(place, "staging").back()
    assert place.versions() == dict.fromkeys(ROLES, "one")
    # Pressed twice it stays there.
    to_go_back(place, "staging").back()
    assert place.versions() == dict.fromkeys(ROLES, "one")


def test_without_a_version_before_there_is_nothing_to_go_back_to(place: Machine) -> None:
    with pytest.raises(Refused, match="expected a version before one, got: none"):
        to_go_back(place, "staging")


def test_a_version_that_could_not_do_what_waits_is_refused_before_anything_changes(
    place: Machine, stack: Stack
) -> None:
    known = {"queue": "slow", "schema": {}, "soft_limit": 1.0, "hard_limit": 2.0, "max_retries": 0}
    catalogue.announce([Task(name="orders.ship", **known)])
    row = submit("orders.ship", {}, run_at=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(Failed) as failure:
        Release(place, "staging", "two").forward(FORWARD, Audience())
    assert "1 job of orders.ship, which this version does not have" in str(failure.value)
    assert f"nothing was switched: {' one, '.join(ROLES)} one" in str(failure.value)
    assert place.versions() == dict.fromkeys(ROLES, "one")
    assert stack.job(row.id).state is State.QUEUED
    assert json.loads((stack.directory / "place" / "record").read_text())["state"] == "failed"

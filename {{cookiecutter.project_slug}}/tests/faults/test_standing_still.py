"""A process that lives while its loop stands still: its probe says so, others do its work, and an idle one goes on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs import State, query
from tests.support.stack import ROOT, Stack, until
from tests.support.wedge import STUCK_SECONDS

# Longer than that of the other tests: an idle process on a busy machine must not look as if it stood still.
HEARTBEAT = "2"


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Stack]:
    """A stack with this heartbeat."""
    url = os.environ.get("TEST_DATABASE_URL")
    made = Stack(tmp_path, url, HEARTBEAT_SECONDS=HEARTBEAT)
    try:
        made.prepare()
        yield made
    finally:
        made.end()


def alive(stack: Stack, role: str) -> bool:
    """What the platform's probe says of a role, by its exit code."""
    environment = {name: stack.environment[name] for name in ("PATH", "STATE_DIR", "HEARTBEAT_SECONDS")}
    run = subprocess.run([ROOT / "alive", role], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0 or f"expected a heartbeat of {role} within 6 s, got: one " in run.stderr, run.stderr
    return run.returncode == 0


def workers(queue: str) -> list[int]:
    """The processes that work on a queue, as `GET /v1/queues` has them."""
    (status,) = (each for each in query.queues() if each.name == queue)
    return [process.pid for process in status.workers]


@pytest.mark.fault("L9", "nobody notices: the process lives, and a probe that asks the broker costs more than the work")
def test_a_loop_that_stands_still_is_told_from_one_that_is_idle(patient: Stack) -> None:
    wedge = patient.directory / "wedge"
    worker, beat = (patient.start(*words, WEDGE=f"{wedge}") for words in (("worker", "slow"), ("beat",)))
    patient.start("worker", "fast")
    until((patient.directory / "beat.heartbeat").exists)
    assert all(alive(patient, role) for role in ("worker-slow", "worker-fast", "beat"))
    wedge.touch()
    row = patient.submit("trials.sleep", seconds=0)
    until(lambda: not alive(patient, "worker-slow") and not alive(patient, "beat"), seconds=STUCK_SECONDS + 60)
    # Both live, which is all that the platform would see without the probe.
    assert [role.process.poll() for role in (worker, beat)] == [None, None]
    # The one that had nothing to do all the while is well.
    assert alive(patient, "worker-fast")
    assert workers("slow") == []
    assert len(workers("fast")) == 1
    # What the platform would start in its place does the work.
    other = patient.start("worker", "slow", STATE_DIR=f"{patient.directory / 'other'}")
    (done,) = patient.ended(row.id, seconds=60)
    assert done.state is State.SUCCEEDED
    assert workers("slow") == [other.pid]
    # And a loop that turns again is alive again.
    wedge.unlink()
    until(lambda: alive(patient, "worker-slow") and alive(patient, "beat"), seconds=60)

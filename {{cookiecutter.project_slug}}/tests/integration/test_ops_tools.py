"""What one asks when a job takes long or a worker grows, on the worker's own host."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from service import database
from service.jobs import Job, State, operate, processes
from service.jobs.model import Process
from tests.integration.test_commands import answer, command
from tests.support.stack import ROOT, Stack, until


@pytest.fixture
def hoarding(running: Stack) -> Any:
    """A job that runs, and holds more and more."""
    row = running.submit("chores.hoard", seconds=600)
    until(lambda: running.job(row.id).state is State.RUNNING)
    yield running.job(row.id)
    operate.cancel(row.id, by="test", client=None)
    running.ended(row.id)


@pytest.mark.skipif(
    not Path("/proc").exists(), reason="expected Linux, got: another system; children are not found there"
)
def test_what_a_worker_holds_more_is_told_line_by_line(running: Stack, hoarding: Job) -> None:
    """Of each worker of this host and of its children; whoever asks again gets another answer."""
    for _ in range(2):
        told = {each["pid"]: each for each in answer(running, "memory", "--seconds", "2")}
        assert {f"{each['worker']}".partition("@")[0] for each in told.values()} == {"worker-fast", "worker-slow"}
        assert len(told) > len({each["worker"] for each in told.values()})
        assert not [each["said"] for each in told.values() if "did not answer" in each["said"]]
        (line,) = (each for each in told[hoarding.pid]["lines"] if "chores.py" in each["where"])
        assert 500_000 < line["bytes"] < 10_000_000
    said = command(running, "memory", "--seconds", "1").stdout
    assert f"process {hoarding.pid} of {hoarding.worker}: " in said
    assert not list(running.directory.glob("memory-*"))


def test_a_running_job_is_drawn(running: Stack, hoarding: Job, tmp_path: Path) -> None:
    """As a flame graph that names its function; where the right is missing, a sentence says so."""
    done = command(running, "profile", hoarding.id, "--seconds", "2", "--output", f"{tmp_path / 'flames.svg'}")
    if done.returncode:
        assert done.stderr.startswith("expected the right to trace process ")
        pytest.skip("expected the right to trace another process, got: none")
    assert "the whole time" in done.stdout
    drawn = (tmp_path / "flames.svg").read_text()
    assert "MainThread" in drawn
    assert "hoard (" in drawn


@pytest.mark.skipif(not shutil.which("setpriv") or os.geteuid() != 0, reason="expected root, who can give rights up")
def test_without_the_right_to_trace_it_says_so(running: Stack, hoarding: Job) -> None:
    """In a sentence, with what needs none."""
    without = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    words = [*without, sys.executable, "-m", "tests.support", "profile", hoarding.id, "--seconds", "1"]
    done = subprocess.run(words, cwd=ROOT, env=running.environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"expected the right to trace process {hoarding.pid}, got: none; ")
    assert f"`jobs stack {hoarding.id}`" in done.stderr


def test_what_does_not_run_here_is_not_drawn(running: Stack, hoarding: Job) -> None:
    """A job that has ended runs nowhere, and another host's processes are not this one's."""
    row = running.submit("trials.echo", value="x")
    running.ended(row.id)
    assert "expected a job to profile to be running, got: succeeded" in command(running, "profile", row.id).stderr
    worker = "worker-slow@elsewhere:1:abcdef"
    elsewhere = update(Job).where(Job.id == hoarding.id)
    with database.transaction() as session:
        seen = {"version": "test", "host": "elsewhere", "pid": 1, "seen_at": database.now(60)}
        session.add(Process(id=worker, role="worker", queue="slow", **seen))
        session.execute(elsewhere.values(worker=worker))
    refused = command(running, "profile", hoarding.id)
    with database.transaction() as session:
        session.execute(elsewhere.values(worker=hoarding.worker))
    processes.farewell(worker)
    assert "expected the host of the job's worker, elsewhere, got: " in refused.stderr

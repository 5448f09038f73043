"""The rendered service, installed by its own Makefile, keeps its own promises."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import commands

# What the README shows and another test runs: that of the habits, and tests/test_containers.py.
ELSEWHERE = ("make ", "docker compose ")
COMMAND_SECONDS, STOP_SECONDS = 30, 60


@contextmanager
def dev(installed: Path) -> Iterator[tuple[str, Future[str]]]:
    """A `make dev` that runs: what it has said once it was ready, and what it says after that, until it ends."""
    with ThreadPoolExecutor(1) as reader:
        process = subprocess.Popen(
            ["make", "dev"],
            cwd=installed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout
            said = "".join(take_until("curl -i", iter(process.stdout.readline, "")))
            # Somebody reads on: what a full pipe stops does not hear Ctrl-C.
            yield said, reader.submit(process.stdout.read)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(STOP_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def greeting(installed: Path) -> Iterator[str]:
    """What a running `make dev` has said once it is ready."""
    with dev(installed) as (said, _):
        yield said


def take_until(word: str, lines: Iterator[str]) -> Iterator[str]:
    """The lines up to the one that holds the word."""
    for line in lines:
        yield line
        if word in line:
            return


def succeed(command: str, folder: Path) -> str:
    """Run a command of a shell, again until it succeeds: a reader is slower than a test, and a job takes a moment."""
    deadline = time.monotonic() + COMMAND_SECONDS
    while True:
        run = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return run.stdout
        assert time.monotonic() < deadline, f"{command}\n{run.stdout}{run.stderr}"
        time.sleep(0.5)


def test_a_role_that_ends_by_itself_ends_the_others_and_the_next_run_goes_on_with_the_jobs(installed: Path) -> None:
    """It says so."""
    with dev(installed) as (said, rest):
        role = re.search(r"worker-slow started \(pid=(\d+)\)", said)
        assert role
        os.killpg(int(role[1]), signal.SIGSTOP)
        job = re.search(r"location: (\S+)", succeed(re.findall("curl -i .*", said)[0], installed))
        assert job
        os.killpg(int(role[1]), signal.SIGKILL)
        assert re.search(r"expected every role .*: one that ended .* kept in \S+,", rest.result(STOP_SECONDS))
    with dev(installed) as (said, _):
        address, token = re.search(r"ready at (\S+),", said), re.search(r"Token: +(\S+)", said)
        assert address
        assert token
        ask = f"curl --silent {address[1]}{job[1]} --header 'Authorization: Bearer {token[1]}'"
        succeed(f"""{ask} | grep '"state":"succeeded"'""", installed)


def test_its_readme_can_be_followed_word_for_word(installed: Path, greeting: str) -> None:
    """With the address, the token and the id that the reader is told to fill in."""
    address, token = re.search(r"ready at (\S+),", greeting), re.search(r"Token: +(\S+)", greeting)
    assert address
    assert token
    prelude = "set -e; shopt -s expand_aliases; alias curl='curl --silent --show-error --fail-with-body'\n"
    said = ""
    for command in commands(installed):
        if command.startswith(ELSEWHERE):
            continue
        if command.startswith("export API="):
            prelude += f"export API={address[1]} TOKEN={token[1]}\n"
        elif command == "export JOB=the-id":
            job = re.search(r"location: /v1/jobs/(\S+)", said)
            assert job, said
            prelude += f"export JOB={job[1]}\n"
        elif command.startswith((". ", "export PATH=")):
            prelude += f"{command}\n"
        else:
            said = succeed(f"{prelude}{command}", installed)


def test_load_is_driven_and_reported(installed: Path, greeting: str) -> None:
    """Users order, look and list; none of it fails, and a page says how it went."""
    address, token = re.search(r"ready at (\S+),", greeting), re.search(r"Token: +(\S+)", greeting)
    assert address
    assert token
    words = [f"API={address[1]}", f"TOKEN={token[1]}", "USERS=3", "SECONDS=5"]
    run = subprocess.run(["make", "load", *words], cwd=installed, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    report = (installed / ".local" / "load.html").read_text()
    assert all(path in report for path in ("/v1/jobs/{id}", "/v1/jobs"))


def test_load_without_a_service_is_refused_in_a_sentence(installed: Path) -> None:
    """Which says how to have one."""
    run = subprocess.run(["make", "load"], cwd=installed, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "expected API to say where the service is" in run.stderr


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("habit", ["check", "test ALL=1"])
def test_its_own_habits_pass(installed: Path, habit: str) -> None:
    """Its linters and its tests, the slow ones too; on PostgreSQL where TEST_DATABASE_URL is set."""
    subprocess.run(["make", *habit.split()], cwd=installed, check=True)

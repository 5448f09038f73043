"""The rendered service, installed by its own Makefile, keeps its own promises."""

import os
import re
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.conftest import commands

# What the README shows and another test runs: that of the habits, and tests/test_containers.py.
ELSEWHERE = ("make ", "docker compose ")
COMMAND_SECONDS, STOP_SECONDS = 30, 60


@pytest.fixture
def greeting(installed: Path) -> Iterator[str]:
    """What a running `make dev` has said once it is ready."""
    process = subprocess.Popen(
        ["make", "dev"], cwd=installed, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        said = "".join(line for line in take_until("curl -i", lines))
        # Somebody reads on: what a full pipe stops does not hear Ctrl-C.
        Thread(target=lambda: deque(lines, maxlen=0), daemon=True).start()
        yield said
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_SECONDS)


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


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("habit", ["check", "test ALL=1"])
def test_its_own_habits_pass(installed: Path, habit: str) -> None:
    """Its linters and its tests, the slow ones too; on PostgreSQL where TEST_DATABASE_URL is set."""
    subprocess.run(["make", *habit.split()], cwd=installed, check=True)

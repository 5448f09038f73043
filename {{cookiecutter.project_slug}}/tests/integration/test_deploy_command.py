"""`make deploy` as a process: what it prints, how it is interrupted, and who is kept out meanwhile."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.platform import ROLES
from deploy.release import FORWARD
from tests.support.recorder import Recorder
from tests.support.stack import ROOT, until

pytestmark = pytest.mark.slow


class Shelf:
    """The folder that is deployed to, and the processes that do it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"SHELF": str(folder), "PYTHONWARNINGS": "ignore"}
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.support.shelf", *words]
        out, err = subprocess.PIPE, subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, stdout=out, stderr=err)
        self._started.append(process)
        return process

    def run(self, *words: str) -> tuple[int, str, str]:
        """Gives the exit code, standard output and standard error."""
        process = self.start(*words)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def hold(self, step: str) -> None:
        (self.folder / f"hold-{step}").touch()

    def at(self, step: str) -> bool:
        path = self.folder / "at"
        return path.exists() and path.read_text() == step

    def read(self, name: str) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / name).read_text())
        return found

    def end(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    # Which files the tree has is for the tests of the checks; these begin behind them.
    assert made.run("forward", "staging", "one", *FORWARD[1:])[0] == 0
    (tmp_path / "at").unlink()
    yield made
    made.end()


@pytest.mark.parametrize("step", FORWARD[1:])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_deploy_says_where_things_stand_and_can_be_taken_up(
    shelf: Shelf, step: str, how: signal.Signals
) -> None:
    shelf.hold(step)
    process = shelf.start("forward", "staging", "two", *FORWARD[1:])
    until(lambda: shelf.at(step))
    process.send_signal(how)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    done = [role for role in ROLES if FORWARD.index(role) < FORWARD.index(step)]
    standing = ", ".join(f"{role} {'two' if role in done else 'one'}" for role in ROLES)
    again = "the same command again to go on, or: make rollback TARGET_ENV=staging"
    assert errors == f"interrupted; now {standing}; next: {again}\n"
    assert not (shelf.folder / "lock").exists()
    (shelf.folder / f"hold-{step}").unlink()
    code, output, _ = shelf.run("forward", "staging", "two", *FORWARD[1:])
    assert (code, shelf.read("versions")) == (0, dict.fromkeys(ROLES, "two"))
    assert output.endswith("staging: two is deployed\n")
    assert shelf.run("back", "staging")[0] == 0
    assert shelf.read("versions") == dict.fromkeys(ROLES, "one")


def test_after_one_that_was_left_half_done_back_is_still_the_last_good_one(shelf: Shelf) -> None:
    for target in FORWARD[1:-1]:
        assert shelf.run("forward", "staging", "two", target)[0] == 0
    assert shelf.read("versions") == dict.fromkeys(ROLES, "two")
    assert shelf.run("forward", "staging", "bad", "api")[0] == 1
    assert shelf.read("versions") == dict.fromkeys(ROLES, "one")


@pytest.mark.parametrize("step", ["worker-slow", "verify"])
def test_a_rollback_says_from_what_to_what_also_of_one_that_was_cut_off(shelf: Shelf, step: str) -> None:
    shelf.hold(step)
    process = shelf.start("forward", "staging", "two", *FORWARD[1:])
    until(lambda: shelf.at(step))
    process.kill()
    process.wait()
    (shelf.folder / "lock").unlink()
    (shelf.folder / f"hold-{step}").unlink()
    with Recorder() as channel:
        shelf.environment |= {"ANNOUNCE_WEBHOOK_URL": channel.url, "ANNOUNCE_WEBHOOK_TOKEN": "t"}
        assert shelf.run("back", "staging")[0] == 0
    told = [(call.body["event"], call.body["before"], call.body["version"]) for call in channel.calls]
    assert told == [("started", "two", "one"), ("succeeded", "two", "one")]


def test_a_second_one_is_kept_out_and_told_by_whom(shelf: Shelf) -> None:
    shelf.hold("worker-slow")
    shelf.start("forward", "staging", "two", *FORWARD[1:])
    until(lambda: shelf.at("worker-slow"))
    for words in (("forward", "staging", "three", *FORWARD[1:]), ("back", "staging")):
        code, _, errors = shelf.run(*words)
        assert code == 1
        assert errors.startswith("expected nobody else to deploy, got: ")
        assert len(errors.splitlines()) == 1


def test_a_dry_run_tells_what_would_change_and_changes_nothing(shelf: Shelf) -> None:
    code, output, _ = shelf.run("forward", "staging", "two", "worker-fast", "verify", "--dry-run")
    assert (code, output) == (0, "worker-fast: one -> two\nverify: run in two\n")
    assert shelf.read("versions") == dict.fromkeys(ROLES, "one")
    assert shelf.read("record")["version"] == "one"


def test_one_that_fails_at_a_target_of_its_own_goes_back_as_a_whole(shelf: Shelf) -> None:
    for target in FORWARD[1:-2]:
        assert shelf.run("forward", "staging", "bad", target)[0] == 0
    code, _, errors = shelf.run("forward", "staging", "bad", "api")
    assert code == 1
    assert errors.startswith("api: expected api to be healthy within 300 s, got: a crash; went back to one")
    assert shelf.read("versions") == dict.fromkeys(ROLES, "one")
    assert shelf.read("record") == {"version": "bad", "before": "one", "state": "rolled back", "came": ""}


def test_the_worker_of_a_queue_that_the_version_before_does_not_know_is_not_set_back(shelf: Shelf) -> None:
    (shelf.folder / "versions").write_text(json.dumps({role: "one" for role in ROLES if role != "worker-slow"}))
    assert shelf.run("forward", "staging", "bad", *FORWARD[1:])[0] == 1
    assert shelf.read("versions") == dict.fromkeys(ROLES, "one") | {"worker-slow": "bad"}
    # By hand, in a later process, as well; and once a version with it is deployed it goes back like the others.
    assert shelf.run("forward", "staging", "two", *FORWARD[1:])[0] == 0
    assert shelf.run("back", "staging")[0] == 0
    assert shelf.read("versions") == dict.fromkeys(ROLES, "one") | {"worker-slow": "two"}
    assert shelf.run("forward", "staging", "two", *FORWARD[1:])[0] == 0
    assert shelf.run("forward", "staging", "bad", *FORWARD[1:])[0] == 1
    assert shelf.read("versions") == dict.fromkeys(ROLES, "two")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("forward", "staging", "missing", "api"), 1, "expected an image of missing, got: none; build it first\n"),
        (("forward", "staging", " "), 2, "expected VERSION to name what to deploy, got: nothing"),
        (("forward", "staging", "two", "apis"), 2, "'apis' is not one of 'fit', 'migrate'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(shelf: Shelf, words: tuple[str, ...], code: int, said: str) -> None:
    returned, _, errors = shelf.run(*words)
    assert returned == code
    assert said in errors
    assert "Traceback" not in errors

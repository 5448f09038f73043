"""Whole deploys to Kubernetes by the command that a person and the pipeline run."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import kubernetes_world
from tests.conftest import commit
from tests.kubernetes_world import World

pytestmark = pytest.mark.deploys
world = kubernetes_world.world

# The command, with less patience than in production.
DEPLOY = """
from deploy import platform
platform.STEP_SECONDS = 60
from deploy.kubernetes import kubectl, rollout
kubectl.PAUSE_SECONDS, rollout.POLL_SECONDS, rollout.PATIENCE_SECONDS = 0.2, 0.1, 1
import runpy
runpy.run_module("deploy", run_name="__main__")
"""


@dataclass
class Clone:
    """A clone of the service with two commits, whose images are in the registry."""

    folder: Path
    python: Path
    world: World
    old: str
    new: str

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Begin a deploy."""
        return subprocess.Popen(
            [self.python, "-c", DEPLOY, *words],
            cwd=self.folder,
            env=self.world.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """A deploy to its end."""
        with self.start(*words) as process:
            output, errors = process.communicate(timeout=200)
        return process.returncode, output, errors

    def begin(self, target: str) -> "subprocess.Popen[str]":
        """A deploy of the new version, which does not get on with one of its targets."""
        cluster = self.world.cluster
        cluster.fate[target, self.new] = "hangs" if target in {"fit", "migrate", "verify"} else "unready"
        process = self.start("forward", "staging", self.new)
        deadline = time.monotonic() + 100
        while f"{target} {self.new}" not in cluster.done:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    @property
    def runs(self) -> set[str]:
        """The versions that the roles are set to."""
        found = [each for key, each in self.world.cluster.objects.items() if key[0] == "Deployment"]
        return {each["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2] for each in found}


@pytest.fixture
def clone(world: World, installed: Path, tmp_path: Path) -> Iterator[Clone]:
    """In which the first of the two versions has been deployed."""
    folder = shutil.copytree(world.project, tmp_path / "clone" / world.project.name)
    versions = []
    for number in (1, 2):
        (folder / "notes.txt").write_text(f"{number}\n")
        commit(folder, f"Change {number}")
        said = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=folder, text=True)
        versions.append(said.strip())
    world.registry.images = {f"team/desk:{version}" for version in versions}
    made = Clone(folder, installed / ".venv" / "bin" / "python", world, *versions)
    code, output, errors = made.run("forward", "staging", made.old)
    assert code == 0, output + errors
    world.cluster.done.clear()
    yield made
    lease = world.cluster.there("Lease", "deploy")
    assert lease
    assert lease["spec"]["holderIdentity"] == ""


def test_forward_and_back(clone: Clone) -> None:
    """What a dry run says is what comes, and what came is undone in the other order."""
    code, said, errors = clone.run("forward", "staging", clone.new, "--dry-run")
    assert (code, errors) == (0, "")
    assert f"worker-fast: {clone.old} -> {clone.new}" in said
    assert not clone.world.cluster.done
    code, said, errors = clone.run("forward", "staging", clone.new)
    assert (code, errors) == (0, ""), said
    assert clone.runs == {clone.new}
    roles = ["worker-fast", "worker-slow", "beat", "api"]
    assert clone.world.cluster.done == [f"{name} {clone.new}" for name in ("fit", "migrate", *roles, "verify")]
    clone.world.cluster.done.clear()
    code, said, errors = clone.run("back", "staging")
    assert (code, errors) == (0, ""), said
    assert clone.world.cluster.done == [f"{name} {clone.old}" for name in (*reversed(roles), "verify")]


@pytest.mark.parametrize("target", ["worker-slow", "api", "verify"])
def test_a_version_that_is_not_well(clone: Clone, target: str) -> None:
    """The service goes back by itself, and the one sentence says why."""
    clone.world.cluster.fate[target, clone.new] = "fails" if target == "verify" else "crashes"
    code, _, errors = clone.run("forward", "staging", clone.new)
    assert code == 1
    assert f"went back to {clone.old}" in errors
    assert "exit code 1" in errors
    assert clone.runs == {clone.old}


def test_a_migration_that_fails(clone: Clone) -> None:
    """Nothing is switched."""
    clone.world.cluster.fate["migrate", clone.new] = "fails"
    code, _, errors = clone.run("forward", "staging", clone.new)
    assert code == 1
    assert "expected the table to be there" in errors
    assert clone.runs == {clone.old}
    assert clone.world.cluster.done == [f"fit {clone.new}", f"migrate {clone.new}"]


@pytest.mark.parametrize("begun", ["migrate", "beat", "verify"])
def test_interrupted(clone: Clone, begun: str) -> None:
    """Says where things stand, lets others in, and goes on when it is run again."""
    cluster = clone.world.cluster
    with clone.begin(begun) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "interrupted; now worker-fast " in errors
    assert "Traceback" not in errors
    cluster.fate.clear()
    code, said, errors = clone.run("forward", "staging", clone.new)
    assert (code, errors) == (0, ""), said
    assert clone.runs == {clone.new}
    assert len([each for each in cluster.done if each == f"{begun} {clone.new}"]) == 1


def test_two_at_once(clone: Clone) -> None:
    """One of them deploys, the other one says who does."""
    cluster = clone.world.cluster
    with clone.begin("migrate") as first:
        code, _, errors = clone.run("forward", "staging", clone.old)
        assert code == 1
        assert "expected no other deploy in order-desk-staging, got: one by" in errors
        cluster.fate.clear()
        _, errors = first.communicate(timeout=100)
    assert first.returncode == 0, errors
    assert clone.runs == {clone.new}

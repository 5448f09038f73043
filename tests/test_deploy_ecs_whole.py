"""`make deploy` and `make rollback` of a service on Amazon ECS, from its own repository and environment."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import ecs_driver
from tests.aws import Aws
from tests.conftest import Render
from tests.ecs_driver import surroundings

pytestmark = [pytest.mark.deploys, pytest.mark.timeout(1200)]
server, aws = ecs_driver.server, ecs_driver.aws

ROLES = ["worker-fast", "worker-slow", "beat", "api"]
LOCK = "/order-desk/staging/deploy/lock"


@dataclass
class Team:
    """A clone of the service's repository, and what whoever deploys has set."""

    folder: Path
    environ: dict[str, str]

    def git(self, *words: str) -> str:
        """What git prints."""
        names = ["-c", "user.name=Ada", "-c", "user.email=ada@desk.example"]
        return subprocess.check_output(["git", *names, *words], cwd=self.folder, text=True).strip()

    def commit(self) -> str:
        """A commit of all that is there, as a version."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Another version")
        return self.git("rev-parse", "--short", "HEAD")

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of the service's habits."""
        command = ["make", *words, "TARGET_ENV=staging"]
        return subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=600, check=False
        )

    def kill(self, when: Callable[[], bool], *words: str) -> None:
        """Begin one of them, and kill it and all that it started, at this moment."""
        command = ["make", *words, "TARGET_ENV=staging"]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environ, start_new_session=True)
        deadline = time.monotonic() + 300
        while not when():
            assert process.poll() is None, "expected to kill it, got: its end"
            assert time.monotonic() < deadline, "expected the moment within 300 s, got: not so"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def team(render: Render, aws: Aws, tmp_path: Path) -> Team:
    """Whose staging is this account, and who has installed what a deploy needs."""
    folder = shutil.copytree(render(deploy="ecs"), tmp_path / "order-desk")
    aws.make(folder)
    ours = {name: value for name, value in surroundings(aws, tmp_path).items() if name != "HOME"}
    made = Team(folder, {**os.environ, "AWS_CONFIG_FILE": os.devnull, **ours})
    made.git("init", "--quiet", "--initial-branch", "main")
    subprocess.run(["make", "setup"], cwd=folder, check=True)
    return made


def test_a_service_goes_forward_and_back(team: Team, aws: Aws) -> None:
    """A second version whose deploy is killed in the middle, the way back, and a third that is broken."""
    first, second, third = team.commit(), team.commit(), team.commit()
    aws.push(first, second, third)

    run = team.make("deploy", f"VERSION={first}")
    assert run.returncode == 0, run.stdout + run.stderr
    assert running(aws) == dict.fromkeys(ROLES, first)
    planned = team.make("deploy", f"VERSION={second}", "DRY_RUN=1").stdout
    assert f"api: {first} -> {second}" in planned
    assert running(aws) == dict.fromkeys(ROLES, first)

    team.kill(lambda: running(aws)["worker-slow"] == second, "deploy", f"VERSION={second}")
    assert running(aws)["api"] == first
    held = team.make("deploy", f"VERSION={second}").stderr
    assert f"aws ssm delete-parameter --region eu-north-1 --name {LOCK}" in held
    aws.client("ssm").delete_parameter(Name=LOCK)
    run = team.make("deploy", f"VERSION={second}")
    assert run.returncode == 0, run.stdout + run.stderr
    assert running(aws) == dict.fromkeys(ROLES, second)

    run = team.make("rollback")
    assert run.returncode == 0, run.stdout + run.stderr
    assert running(aws) == dict.fromkeys(ROLES, first)

    aws.scheduler.broken.add(third)
    run = team.make("deploy", f"VERSION={third}")
    assert run.returncode != 0
    assert "ECS deployment circuit breaker: tasks failed to start" in run.stderr
    assert f"went back to {first}" in run.stderr
    assert running(aws) == dict.fromkeys(ROLES, first)
    assert aws.scheduler.services["order-desk-staging-beat"].together == 1


def running(aws: Aws) -> dict[str, str]:
    """The version of each role, as ECS has it."""
    services = {name.removeprefix("order-desk-staging-"): each for name, each in aws.scheduler.services.items()}
    return {role: aws.scheduler.versions[each.deployments[0]["taskDefinition"]] for role, each in services.items()}

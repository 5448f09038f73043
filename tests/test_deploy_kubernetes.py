"""Deploys to Kubernetes: the real kubectl against an API server that answers as Kubernetes does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kubernetes_api import ApiServer
from tests.kubernetes_cluster import Cluster
from tests.registry import Registry

pytestmark = pytest.mark.deploys

OLD, NEW = "1a2b3c4", "5d6e7f8"
# The same as in production, with less patience.
DRIVE = """
import sys
from deploy import platform
platform.STEP_SECONDS = 10
from deploy.kubernetes import kubectl, rollout
kubectl.PAUSE_SECONDS, rollout.POLL_SECONDS, rollout.PATIENCE_SECONDS = 0.2, 0.1, 1
from deploy.kubernetes.place import open
from deploy.platform import Failed, Record, Refused

def forward(version):
    place.reach(version)
    for what in "fit", "migrate":
        print(place.once(what, version))
    for role in platform.ROLES:
        place.replace(role, version)
    print(place.once("verify", version))

try:
    place = open(sys.argv[1])
    exec(sys.argv[2])
except (Refused, Failed) as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@dataclass
class World:
    """A cluster, a registry, and a service that is deployed from the one to the other."""

    project: Path
    cluster: Cluster
    server: ApiServer
    registry: Registry
    home: Path

    def environment(self, **changes: str) -> dict[str, str]:
        """What a deploy is given."""
        mine = {
            "HOME": str(self.home),
            "IMAGE": f"{self.registry.address}/team/desk",
            "DEPLOY_KEY_FILE": str(self.server.kubeconfig(self.home)),
        }
        return {**os.environ, **mine, **changes}

    def run(self, code: str, environment: str = "staging", **changes: str) -> "subprocess.CompletedProcess[str]":
        """Let the place do something."""
        command = [sys.executable, "-c", DRIVE, environment, code]
        return subprocess.run(
            command,
            cwd=self.project,
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def does(self, code: str, **changes: str) -> str:
        """What it prints, since all is well."""
        run = self.run(code, **changes)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def says(self, code: str, environment: str = "staging", **changes: str) -> str:
        """The one sentence by which it ends."""
        run = self.run(code, environment, **changes)
        assert run.returncode == 1, run.stdout + run.stderr
        assert run.stderr.count("\n") == 1, run.stderr
        assert "; " in run.stderr
        return run.stderr


@pytest.fixture
def world(project: Path, tmp_path: Path) -> Iterator[World]:
    """Empty, and in order."""
    cluster = Cluster(f"{project.name}-staging")
    account = project / "deploy" / "kubernetes" / "ci.yaml"
    images = [f"team/desk:{version}" for version in (OLD, NEW)]
    with ApiServer(cluster, account) as server, Registry(*images) as registry:
        yield World(project, cluster, server, registry, tmp_path)


def test_from_nothing_and_on_to_the_next_version(world: World) -> None:
    """Each target when the one before it is done, and only what belongs to it."""
    world.does(f'assert not place.versions(); forward("{OLD}")')
    said = world.does(f'print(place.versions()); forward("{NEW}"); print(place.versions())')
    order = ["fit", "migrate", "worker-fast", "worker-slow", "beat", "api", "verify"]
    assert world.cluster.done == [f"{name} {version}" for version in (OLD, NEW) for name in order]
    assert said.count(OLD) == said.count(NEW) == 4
    assert "verify did it" in said
    assert set(world.cluster.applied["beat"]) == {"Deployment beat", "ServiceAccount beat"}
    assert {name.split()[0] for name in world.cluster.applied["settings"]} == {"ConfigMap", "NetworkPolicy"}


def test_the_account_may_do_what_a_deploy_does_and_no_more(world: World) -> None:
    """Held against the calls of a whole deploy; it looks at events when something is stuck."""
    world.does(f'place.lock("me"); forward("{OLD}"); forward("{OLD}"); place.unlock("me"); place.lock("me")')
    world.does(f'place.remember(Record("{OLD}", "", "done")); place.record()')
    allowed = {
        (verb, f"{group}/{resource}")
        for rule in world.server.rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert allowed - world.server.used == {("list", "/events")}

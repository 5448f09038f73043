"""A service that is deployed to a cluster that answers as Kubernetes does, by the real kubectl."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kubernetes_api import ApiServer
from tests.kubernetes_cluster import Cluster
from tests.registry import Registry

OLD, NEW = "1a2b3c4", "5d6e7f8"
# The same as in production, with less patience.
DRIVE = """
import sys
from deploy import platform
platform.STEP_SECONDS = 60
from deploy.kubernetes import kubectl, rollout
kubectl.PAUSE_SECONDS, rollout.POLL_SECONDS, rollout.PATIENCE_SECONDS = 0.2, 0.1, 1
from deploy.kubernetes.place import open
from deploy.platform import Failed, Record, Refused

def hurry():
    rollout.STEP_SECONDS = sys.modules["deploy.kubernetes.place"].STEP_SECONDS = 5

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
        }
        if "DEPLOY_KEY_FILE" not in changes:
            mine["DEPLOY_KEY_FILE"] = str(self.server.kubeconfig(self.home))
        return {**os.environ, **mine, **changes}

    def start(self, code: str, environment: str = "staging", **changes: str) -> "subprocess.Popen[str]":
        """Let the place do something."""
        command = [sys.executable, "-c", DRIVE, environment, code]
        return subprocess.Popen(
            command,
            cwd=self.project,
            env=self.environment(**changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, environment: str = "staging", **changes: str) -> tuple[int, str, str]:
        """Let the place do something, to its end."""
        with self.start(code, environment, **changes) as process:
            output, errors = process.communicate(timeout=100)
        return process.returncode, output, errors

    def does(self, code: str, **changes: str) -> str:
        """What it prints, since all is well."""
        code_of_exit, output, errors = self.run(code, **changes)
        assert code_of_exit == 0, errors
        return output

    def says(self, code: str, environment: str = "staging", **changes: str) -> str:
        """The one sentence by which it ends."""
        code_of_exit, output, errors = self.run(code, environment, **changes)
        assert code_of_exit == 1, output + errors
        assert re.fullmatch(r"(Refused|Failed): expected .*, got: .*; .*\n", errors), errors
        return errors

    def breaks_off(self, code: str, begun: str) -> None:
        """Kill it as soon as something was begun."""
        with self.start(code) as process:
            deadline = time.monotonic() + 60
            while begun not in self.cluster.done:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.kill()


@pytest.fixture
def world(project: Path, tmp_path: Path) -> Iterator[World]:
    """Empty, and in order."""
    cluster = Cluster(f"{project.name}-staging")
    account = project / "deploy" / "kubernetes" / "ci.yaml"
    images = [f"team/desk:{version}" for version in (OLD, NEW)]
    with ApiServer(cluster, account) as server, Registry(*images) as registry:
        yield World(project, cluster, server, registry, tmp_path)

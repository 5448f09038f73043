"""The probe of workers and beat: a shell's look at a file, which every platform takes."""

import importlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.queues import MISSED_HEARTBEATS, QUEUES
from tests.support.table import Measured

ROOT = Path(__file__).parents[2]
ROLES = [*(f"worker-{queue}" for queue in QUEUES), "beat"]


def probe(directory: Path, seconds: str, age: float) -> subprocess.CompletedProcess[str]:
    """What the probe says of a heartbeat so old."""
    file = directory / "beat.heartbeat"
    file.touch()
    moment = time.time() - age
    os.utime(file, (moment, moment))
    environment = {"PATH": os.environ["PATH"], "STATE_DIR": f"{directory}", "HEARTBEAT_SECONDS": seconds}
    return subprocess.run([ROOT / "alive", "beat"], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("seconds", "limit"), [("10", 30), ("0.5", 3), ("2.5", 9), ("60", 180)])
def test_a_heartbeat_is_too_old_after_three(tmp_path: Path, seconds: str, limit: int) -> None:
    assert limit >= MISSED_HEARTBEATS * float(seconds)
    assert probe(tmp_path, seconds, limit - 2).returncode == 0
    stale = probe(tmp_path, seconds, limit + 2)
    assert stale.returncode == 1
    assert re.fullmatch(rf"expected a heartbeat of beat within {limit} s, got: one \d+ s ago; .*\n", stale.stderr)


@pytest.mark.fault("S11", "`inspect ping`: a new interpreter, and a question to every worker by the broker")
def test_it_costs_a_fraction_of_a_python_that_imports_celery(tmp_path: Path, measured: Measured) -> None:
    def seconds(act: Callable[[], object]) -> float:
        before = os.times()
        for _ in range(5):
            act()
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    ours = seconds(lambda: probe(tmp_path, "10", 0))
    celery = seconds(lambda: subprocess.run([sys.executable, "-c", "import celery"], check=True))
    measured(f"{ours / celery:.2f} of its processor time")
    assert ours < celery / 4


def test_no_heartbeat_is_none(tmp_path: Path) -> None:
    run = subprocess.run(
        [ROOT / "alive", "beat"], env={"STATE_DIR": f"{tmp_path}"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "beat.heartbeat" in run.stderr


def test_it_starts_no_python() -> None:
    script = (ROOT / "alive").read_text()
    assert script.startswith("#!/bin/sh\n")
    assert "python" not in script
    # The one number of the policy that a shell cannot import.
    assert f"limit=$(({MISSED_HEARTBEATS} * seconds))" in script


def probes(role: str) -> dict[str, list[Any]]:
    """The commands by which each platform's file asks for a role's life; a service deploys to one of them."""
    found: dict[str, list[Any]] = {}
    for file in ("compose.yaml", "deploy/compose/compose.yaml"):
        if (ROOT / file).exists():
            asked = yaml.safe_load((ROOT / file).read_text())["services"][role]["healthcheck"]["test"]
            assert asked[0] == "CMD", file
            found[file] = [asked[1:]]
    file = f"deploy/kubernetes/base/{role}.yaml"
    if (ROOT / file).exists():
        (deployment,) = (each for each in yaml.safe_load_all((ROOT / file).read_text()) if each["kind"] == "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        found[file] = [container[kind]["exec"]["command"] for kind in ("startupProbe", "livenessProbe")]
    file = "deploy/ecs/definition.py"
    if (ROOT / file).exists():
        found[file] = [importlib.import_module("deploy.ecs.definition").ROLES[role].probe]
    return found


@pytest.mark.parametrize("role", ROLES)
def test_every_platform_asks_it(role: str) -> None:
    found = probes(role)
    assert len(found) >= 2
    for file, commands in found.items():
        assert commands, file
        assert all(command == ["./alive", role] for command in commands), file

"""The rendered image and the whole stack in containers, as `docker compose up` runs them on a fresh clone."""

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from demo.third_party import ThirdParty
from tests.conftest import commands

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

JOB_SECONDS = 60


@dataclass
class Stack:
    """A running stack: where its API is, and the token that it made for this run."""

    project: Path
    curl: str

    @property
    def api(self) -> httpx.Client:
        """The API, with the token that it printed."""
        token = re.search(r"Bearer ([^'\" ]+)", self.curl)
        assert token
        headers = {"Authorization": f"Bearer {token[1]}"}
        return httpx.Client(base_url="http://127.0.0.1:8000", headers=headers, trust_env=False)

    def end(self, path: str, body: dict[str, object]) -> dict[str, object]:
        """Send a job and wait for its end."""
        with self.api as api:
            accepted = api.post(path, json=body)
            assert accepted.status_code == httpx.codes.ACCEPTED, accepted.text
            deadline = time.monotonic() + JOB_SECONDS
            while time.monotonic() < deadline:
                job: dict[str, object] = api.get(accepted.headers["Location"]).json()
                if job["state"] in {"succeeded", "failed", "cancelled"}:
                    return job
                time.sleep(0.2)
        raise AssertionError(f"expected the job to end within {JOB_SECONDS} s, got: {job}")


def compose(project: Path, *words: str) -> str:
    """Run docker compose in the project, and give what it printed."""
    return subprocess.run(["docker", "compose", *words], cwd=project, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def stack(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of the default answers."""
    with up(project, tmp_path_factory.mktemp("clone")) as running:
        yield running


@contextmanager
def up(project: Path, folder: Path) -> Iterator[Stack]:
    """The stack on a copy of what was rendered: a fresh clone has no .venv and no .env."""
    clone = shutil.copytree(project, folder / project.name)
    (clone / ".env").write_text("OUTBOUND_ALLOW=172.16.0.0/12\n")  # the host, which plays the third party
    try:
        subprocess.run(["make", "up"], cwd=clone, check=True)
        curl = re.search(r"curl .*", compose(clone, "logs", "--no-log-prefix", "api"))
        assert curl, "expected the API to print a curl line, got: none"
        yield Stack(clone, curl[0])
    finally:
        subprocess.run(["make", "down"], cwd=clone, check=False)
        subprocess.run(["docker", "compose", "down", "--volumes"], cwd=clone, check=False)


@pytest.fixture
def third_party(stack: Stack) -> ThirdParty:
    """A server on the host's side of the stack's network."""
    network = json.loads(subprocess.check_output(["docker", "network", "inspect", f"{stack.project.name}_default"]))
    return ThirdParty(network[0]["IPAM"]["Config"][0]["Gateway"])


def test_the_printed_curl_line_works_when_pasted(stack: Stack) -> None:
    """In development without API_TOKENS the API makes a token for this run."""
    answer = subprocess.check_output([*shlex.split(stack.curl), "--silent", "--show-error"], text=True)
    assert answer.startswith("HTTP/1.1 200 ")


def test_a_job_of_the_fast_queue_is_done(stack: Stack, third_party: ThirdParty) -> None:
    """The third party hears the message."""
    job = stack.end("/v1/notifications", {"url": third_party.url("/ok"), "message": "order 1"})
    assert job["state"] == "succeeded", job
    assert third_party.heard == {"order 1": 1}


def test_a_job_of_the_slow_queue_is_done(stack: Stack) -> None:
    """The report can be fetched, whole."""
    job = stack.end("/v1/reports", {"title": "Q3", "rows": 1000})
    assert job["state"] == "succeeded", job
    with stack.api as api:
        report = api.get(f"/v1/reports/{job['id']}")
    assert report.headers["Content-Type"].startswith("text/csv")
    assert len(report.text.splitlines()) == 1001


def test_only_the_api_and_flower_are_published(stack: Stack) -> None:
    """On this machine alone; the stores belong to the private network."""
    services = [json.loads(line) for line in compose(stack.project, "ps", "--format", "json").splitlines()]
    ports = {
        (each["Service"], port["URL"]) for each in services for port in each["Publishers"] if port["PublishedPort"]
    }
    assert ports == {("api", "127.0.0.1"), ("flower", "127.0.0.1")}


@pytest.mark.usefixtures("stack")
def test_flower_asks_for_a_password() -> None:
    """The one that it made for this run; without it there is nothing to see."""
    assert httpx.get("http://127.0.0.1:5555/", trust_env=False).status_code == httpx.codes.UNAUTHORIZED


def test_the_operators_command_of_the_readme_works(stack: Stack) -> None:
    """It runs where the service's settings are."""
    shown = [command for command in commands(stack.project) if command.startswith("docker compose ")]
    assert shown
    for command in shown:
        subprocess.run(shlex.split(command), cwd=stack.project, check=True)


@pytest.mark.parametrize("role", ["api", "worker-fast", "worker-slow", "beat", "flower"])
def test_a_role_is_confined(stack: Stack, role: str) -> None:
    """It is not root and can never be, it writes to /tmp alone, and runs nothing from there."""
    status = dict(line.split(":", 1) for line in inside(stack, role, "cat /proc/1/status").splitlines())
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"10001"}
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    for place in ("/", "/app", "/usr/bin", "/var/tmp"):
        refused = inside(stack, role, f"touch {place}/planted 2>&1 || true")
        assert "Read-only file system" in refused, f"{place}: {refused}"
    ran = inside(stack, role, "cp /bin/true /tmp/planted && { /tmp/planted 2>&1 || true; rm /tmp/planted; }")
    assert "Permission denied" in ran


def test_everything_has_its_limits(stack: Stack) -> None:
    """Of processes and of memory, so that one container cannot take the machine; the stores too."""
    for name in compose(stack.project, "ps", "--quiet").split():
        host = json.loads(subprocess.check_output(["docker", "inspect", name]))[0]["HostConfig"]
        assert host["PidsLimit"] == 512
        assert 0 < host["Memory"] <= 2 << 30
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not host["Privileged"]


def inside(stack: Stack, role: str, command: str) -> str:
    """What a command of the shell prints in a role's container, run as the role is."""
    return compose(stack.project, "exec", "-T", role, "sh", "-c", command)

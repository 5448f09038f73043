"""Deploys as checkov judges them, and the rendered `make audit` beside an advisory service of this test's own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.conftest import Render
from tests.manifests import manifests

pytestmark = pytest.mark.audit
# Not of this environment: it wants older libraries than pytest does. `uv run` says where uv is.
UV, CHECKOV = os.environ.get("UV", "uv"), "checkov@3.3.30"
# compose.yaml has the one password that is no secret: production refuses it.
QUIET = ["--quiet", "--compact", "--skip-download", "--skip-path", "/compose.yaml"]


def checkov(*options: str) -> None:
    """Hold that it finds nothing, and that it looked."""
    command = [UV, "tool", "run", "--quiet", CHECKOV, *QUIET, "--output", "json", *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(run.stdout)
    reports = found if isinstance(found, list) else [found]
    wrong = [
        f"{check['check_id']} {check['check_name']}: {check['resource']} ({check['file_path']})"
        for report in reports
        for check in report["results"]["failed_checks"]
    ]
    assert not wrong, "\n".join(wrong)
    assert sum(report["summary"]["passed"] for report in reports) > 5


def test_kubernetes(project: Path, tmp_path: Path) -> None:
    """What kustomize makes of the manifests."""
    folder = project / "deploy" / "kubernetes"
    for environment in ("staging", "production"):
        (tmp_path / f"{environment}.yaml").write_text(yaml.safe_dump_all(manifests(folder, environment)))
    checkov("--framework", "kubernetes", "--config-file", str(folder / ".checkov.yaml"), "--directory", str(tmp_path))


ECS = """
import json
from definition import MIGRATE, ROLES, task_definition
place = {"execution_role": "start", "task_role": "run", "log_group": "desk", "region": "eu-north-1", "secrets": {}}
roles = {**ROLES, "migrate": MIGRATE}
print(json.dumps([task_definition(name, role, "desk:1a2b3c4", "production", place) for name, role in roles.items()]))
"""
TERRAFORM = """
resource "aws_ecs_task_definition" "{family}" {{
  family                = "{family}"
  network_mode          = "{networkMode}"
  execution_role_arn    = "{executionRoleArn}"
  task_role_arn         = "{taskRoleArn}"
  container_definitions = <<JSON
{}
JSON
}}
"""


def test_ecs(render: Render, tmp_path: Path) -> None:
    """The task definitions, in the words of Terraform, which checkov reads."""
    folder = render(deploy="ecs") / "deploy" / "ecs"
    said = subprocess.check_output([sys.executable, "-B", "-c", ECS], cwd=folder, text=True)
    tasks = json.loads(said)
    assert len(tasks) == 5
    (tmp_path / "tasks.tf").write_text(
        "\n".join(TERRAFORM.format(json.dumps(t["containerDefinitions"]), **t) for t in tasks)
    )
    checkov("--framework", "terraform", "--directory", str(tmp_path))


@pytest.mark.parametrize(
    "answers", [{}, {"ci": "github", "deploy": "ecs"}, {"broker": "rabbitmq", "deploy": "compose"}]
)
def test_image_pipelines_and_secrets(render: Render, answers: dict[str, str]) -> None:
    """The Dockerfile, either CI, and every file in search of a secret."""
    folder = str(render(**answers))
    checkov("--framework", "dockerfile", "secrets", "github_actions", "gitlab_ci", "--directory", folder)


@pytest.fixture
def advisories() -> Iterator[dict[str, dict[str, object]]]:
    """What an advisory service knows of each package; `make audit` is pointed at it by the environment."""
    known: dict[str, dict[str, object]] = {}

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            body = json.dumps({"vulns": [known[asked]]} if asked in known else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server, pytest.MonkeyPatch.context() as patch:
        Thread(target=server.serve_forever, daemon=True).start()
        patch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
        patch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/")
        yield known
        server.shutdown()


def test_make_audit_names_what_is_vulnerable(installed: Path, advisories: dict[str, dict[str, object]]) -> None:
    """It passes over what nobody knows anything about, and fails over what somebody does."""
    subprocess.run(["make", "audit"], cwd=installed, check=True)
    advisories["flask"] = {"id": "TEST-1", "summary": "a test", "affected": []}
    run = subprocess.run(["make", "audit"], cwd=installed, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert re.search(r"^flask +\S+ +TEST-1", run.stdout, re.MULTILINE)


def test_make_audit_fails_when_nobody_answers(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No news is not good news."""
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:1/")
    assert subprocess.run(["make", "audit"], cwd=installed, capture_output=True, check=False).returncode != 0

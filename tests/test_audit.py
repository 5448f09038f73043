"""Deploys as checkov judges them, and the rendered `make audit` beside an advisory service of this test's own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.advisories import advisories
from tests.conftest import UV, Render
from tests.manifests import manifests, merged

__all__ = ["advisories"]

pytestmark = pytest.mark.audit
# Not of this environment: it wants older libraries than pytest does.
CHECKOV = "checkov@3.3.30"
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
    """What kustomize makes of the manifests, and the pipeline's account, in the namespace that it is applied to."""
    folder = project / "deploy" / "kubernetes"
    for environment in ("staging", "production"):
        (tmp_path / f"{environment}.yaml").write_text(yaml.safe_dump_all(manifests(folder, environment)))
    account = [
        merged(each, {"metadata": {"namespace": "desk"}})
        for each in yaml.safe_load_all((folder / "ci.yaml").read_text())
    ]
    (tmp_path / "ci.yaml").write_text(yaml.safe_dump_all(account))
    checkov("--framework", "kubernetes", "--config-file", str(folder / ".checkov.yaml"), "--directory", str(tmp_path))


ECS = """
import json
from deploy.ecs.definition import ONCE, ROLES, task_definition
place = {"execution_role": "start", "task_role": "run", "log_group": "desk", "region": "eu-north-1", "secrets": {}}
place["api_url"] = "http://desk.internal"
names = [*ROLES, *ONCE]
print(json.dumps([task_definition(name, name, "desk:1a2b3c4", "production", place) for name in names]))
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
    """The task definitions, in the words of Terraform, which checkov reads; and what they build on."""
    folder = render(deploy="ecs")
    said = subprocess.check_output([sys.executable, "-B", "-c", ECS], cwd=folder, text=True)
    tasks = json.loads(said)
    assert len(tasks) == 7
    (tmp_path / "tasks.tf").write_text(
        "\n".join(TERRAFORM.format(json.dumps(t["containerDefinitions"]), **t) for t in tasks)
    )
    checkov("--framework", "terraform", "--directory", str(tmp_path))
    checkov("--framework", "cloudformation", "--directory", str(folder / "deploy" / "ecs"))


@pytest.mark.parametrize(
    "answers", [{}, {"ci": "github", "deploy": "ecs"}, {"broker": "rabbitmq", "deploy": "compose"}]
)
def test_image_pipelines_and_secrets(render: Render, answers: dict[str, str]) -> None:
    """The Dockerfile, either CI, and every file in search of a secret."""
    folder = str(render(**answers))
    checkov("--framework", "dockerfile", "secrets", "github_actions", "gitlab_ci", "--directory", folder)


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

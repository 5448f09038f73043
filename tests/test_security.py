"""What is handed out, looked at by those who look for holes: each exception is explained beside it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.conftest import Render, tool
from tests.manifests import RELEASE, Manifest, manifests, name

# Starting programs is what these are for, by names that are found on PATH.
STARTERS = {"deploy", "local"}
STARTS_PROGRAMS = {"B603", "B606", "B607"}
# An assertion tells the type checker what is so; what callers send is checked by the contract. And an import of
# `subprocess` starts nothing: each call is looked at.
SKIPPED = "B101,B404"
PASSWORD = "development-only"


def test_bandit_finds_nothing_that_is_not_explained(projects: list[Path]) -> None:
    """Ruff has its rules too, under the same numbers, and `# noqa: S311` says why one does not apply."""
    for project in {path.read_bytes(): path.parent for path in (each / "pyproject.toml" for each in projects)}.values():
        command = [
            tool("bandit"),
            "--recursive",
            "--quiet",
            "--skip",
            SKIPPED,
            "--format",
            "json",
            "--exclude",
            f"{project}/tests",
        ]
        run = subprocess.run([*command, str(project)], capture_output=True, text=True, check=False)
        report = json.loads(run.stdout)
        assert report["metrics"]["_totals"]["loc"] > 1000
        for found in report["results"]:
            path, rule = Path(found["filename"]), found["test_id"]
            if path.relative_to(project).parts[0] in STARTERS and rule in STARTS_PROGRAMS:
                continue
            line = path.read_text().splitlines()[found["line_number"] - 1]
            assert re.search(rf"# noqa: S{rule[1:]} - \w", line), (
                f"{path}:{found['line_number']}: {found['issue_text']}"
            )


def test_zizmor_finds_nothing_in_the_workflows(render: Render) -> None:
    """With its strictest rules, without what they only remark."""
    options = ["--offline", "--persona", "auditor", "--min-severity", "low"]
    command = [tool("zizmor"), *options, str(render(ci="github") / ".github" / "workflows")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_kubernetes_takes_the_manifests(project: Path, environment: str) -> None:
    """No field is unknown, none is missing."""
    for manifest in manifests(project / "deploy" / "kubernetes", environment):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_every_pod_is_confined(project: Path, environment: str) -> None:
    """It cannot become root, writes to /tmp alone, holds no key of the cluster; the API's port is all that is open."""
    made = {name(manifest): manifest for manifest in manifests(project / "deploy" / "kubernetes", environment)}
    pods = [
        manifest["spec"]["template"]["spec"] for manifest in made.values() if "template" in manifest.get("spec", {})
    ]
    assert len(pods) == 7
    # A name of its own for each, and no token to it.
    assert len({pod["serviceAccountName"] for pod in pods}) == 7
    for pod in pods:
        assert made["ServiceAccount", pod["serviceAccountName"]]["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
    assert not made["NetworkPolicy", "every-role"]["spec"]["ingress"]
    assert made["NetworkPolicy", "api"]["spec"]["ingress"] == [{"ports": [{"port": "http"}]}]


@pytest.mark.parametrize("file", ["compose.yaml", "deploy/compose/compose.yaml"])
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_every_container_is_confined(render: Render, file: str, broker: str) -> None:
    """No capability, no new privilege, a limit of processes and of memory; only 127.0.0.1 is published."""
    services: dict[str, Manifest] = yaml.safe_load((render(deploy="compose", broker=broker) / file).read_text())[
        "services"
    ]
    for role, service in services.items():
        assert service["cap_drop"] == ["ALL"], role
        assert service["security_opt"] == ["no-new-privileges:true"], role
        assert service["pids_limit"], role
        assert service["mem_limit"], role
        assert service.get("read_only") or service["volumes"], role
        assert not [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")], role


def test_the_password_of_development_is_in_no_deploy(projects: list[Path]) -> None:
    """`compose.yaml` has it, `config.py` refuses it in production, and nothing else that runs has another."""
    for project in projects:
        named = {
            str(path.relative_to(project))
            for path in project.rglob("*")
            if path.is_file() and PASSWORD in path.read_text()
        }
        assert named - {"README.md"} <= {"compose.yaml", "service/config.py", "tests/unit/test_config.py"}


def test_kubectl_would_make_the_same_manifests(project: Path) -> None:
    """Where there is a kubectl to ask."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on PATH")
    folder = project / "deploy" / "kubernetes"
    said = subprocess.check_output(["kubectl", "kustomize", str(folder / "overlays" / "production")], text=True)
    settings = re.findall(r"name: (settings-\w+)", said)[0]
    real = [each for each in yaml.safe_load_all(said.replace(settings, "settings")) if each["kind"] != "ConfigMap"]
    for manifest in real:
        if "template" in manifest.get("spec", {}):
            pod = manifest["spec"]["template"]["spec"]
            pod["containers"][0]["image"] = RELEASE
            for spread in pod.get("topologySpreadConstraints", []):
                # Newer ones add it here, too, which changes nothing: no other service has pods in the namespace.
                spread["labelSelector"]["matchLabels"].pop("app.kubernetes.io/name", None)
    assert sorted(real, key=name) == sorted(manifests(folder, "production"), key=name)

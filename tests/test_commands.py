"""Every command that the README shows is run, here or where it says."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, TEMPLATE, commands, git, tool

HERE = "path/to/cookiecutter-celery-service"
DEMO, COOKIECUTTER, CRUFT = "make demo", f"uvx cookiecutter {HERE}", f"uvx cruft create {HERE}"
ELSEWHERE = {
    "make test": "these tests",
    "make dev": "tests/test_service.py",
}
STEPS = ["render", "install", "start", "ready", "submit", "first", "cancel", "kill", "restart", "wait"]


def run(command: str, *options: str, folder: Path) -> str:
    """Run a command of the README as a user would, but with this environment's tools, and without questions."""
    words = command.removeprefix("uvx ").replace(HERE, str(REPOSITORY)).split()
    program = words[0] if words[0] == "make" else tool(words[0])
    return subprocess.run(
        [program, *words[1:], *options], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def test_every_command_of_the_readme_is_run() -> None:
    """A command that nothing runs is a promise that nothing keeps."""
    assert set(commands(REPOSITORY)) == {DEMO, COOKIECUTTER, CRUFT, *ELSEWHERE}


def test_make_demo_accounts_for_every_job() -> None:
    """Each step is told in a line, and the table has a line for each of at least 20 jobs."""
    said = run(DEMO, folder=REPOSITORY)
    assert list(dict.fromkeys(re.findall(r"^ *[0-9.]+ s  (\w+)", said, re.MULTILINE))) == STEPS
    assert len(re.findall(r"^\w{8} .* (?:succeeded|failed|cancelled) ", said, re.MULTILINE)) >= 20
    assert "WRONG" not in said


def test_cookiecutter_renders(config: Path, tmp_path: Path) -> None:
    """It ends with the next three commands, and the first of them leads to the project."""
    said = run(COOKIECUTTER, "--no-input", "--config-file", str(config), folder=tmp_path)
    assert said.split() == ["Next:", "cd", str(tmp_path / "order-desk"), "make", "dev", "make", "test"]


def test_cruft_brings_what_the_template_learned(tmp_path: Path) -> None:
    """An update adds what is new, keeps what the team changed, and does not bring back what was not chosen."""
    template = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(REPOSITORY), str(template))
    answers = ["--no-input", "--extra-context", '{"deploy": "compose"}']
    run(CRUFT.replace(HERE, str(template)), *answers, folder=tmp_path)
    service = tmp_path / "order-desk"
    git(service, "init", "--quiet")
    (service / "README.md").write_text("ours\n")
    git(service, "add", ".")
    git(service, "commit", "--quiet", "--message", "Render")

    (template / TEMPLATE.name / "LEARNED").touch()
    git(template, "add", ".")
    git(template, "commit", "--quiet", "--message", "Learn")
    subprocess.run([tool("cruft"), "update", "--skip-apply-ask"], cwd=service, check=True)
    assert (service / "LEARNED").exists()
    assert (service / "README.md").read_text() == "ours\n"
    assert not (service / "deploy" / "kubernetes").exists()


@pytest.mark.parametrize("habit", ["demo", "test", "lint", "clean"])
def test_make_lists_its_habits(habit: str) -> None:
    """`make` alone is a question."""
    assert f"make {habit} " in run("make", folder=REPOSITORY)

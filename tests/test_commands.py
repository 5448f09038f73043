"""Every command that the README shows is run, here or where it says."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, TEMPLATE, commands, commit, git, tool

HERE = "path/to/cookiecutter-celery-service"
DEMO, COOKIECUTTER = "make demo", f"uvx cookiecutter {HERE}"
CREATE, UPDATE = f"uvx cruft create {HERE}", "uvx cruft update"
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
    assert set(commands(REPOSITORY)) == {DEMO, COOKIECUTTER, CREATE, UPDATE, *ELSEWHERE}


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


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A service that knows its template, in a repository; then the template learned something."""
    template = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(REPOSITORY), str(template))
    answers = ["--no-input", "--extra-context", '{"deploy": "compose"}']
    run(CREATE.replace(HERE, str(template)), *answers, folder=tmp_path)
    service = tmp_path / "order-desk"
    commit(service, "Render")
    (template / TEMPLATE.name / "LEARNED").touch()
    procfile = template / TEMPLATE.name / "Procfile"
    procfile.write_text(procfile.read_text().replace("beat: ", "beat: exec "))
    commit(template, "Learn")
    return service


def update(service: Path) -> subprocess.CompletedProcess[str]:
    """Run cruft's update, without its question."""
    words = [tool("cruft"), *UPDATE.split()[2:], "--skip-apply-ask"]
    return subprocess.run(words, cwd=service, capture_output=True, text=True, check=False)


def status(service: Path) -> list[str]:
    """What git finds changed."""
    return subprocess.check_output(["git", "status", "--porcelain"], cwd=service, text=True).splitlines()


def test_cruft_brings_what_the_template_learned(linked: Path) -> None:
    """An update adds what is new, keeps what the team changed, and does not bring back what was not chosen."""
    (linked / "README.md").write_text("ours\n")
    commit(linked, "Ours")
    assert update(linked).returncode == 0
    assert (linked / "LEARNED").exists()
    assert "\nbeat: exec " in (linked / "Procfile").read_text()
    assert (linked / "README.md").read_text() == "ours\n"
    assert not (linked / "deploy" / "kubernetes").exists()


def test_an_update_of_a_tree_with_changes_is_refused_in_a_sentence(linked: Path) -> None:
    """Nothing is written then, so that a way back from an update never costs work."""
    (linked / "README.md").write_text("ours\n")
    refused = update(linked)
    assert refused.returncode == 1
    assert refused.stdout == (
        "Cruft cannot apply updates on an unclean git project."
        " Please make sure your git working tree is clean before proceeding.\n"
    )
    assert status(linked) == [" M README.md"]


def test_lines_that_both_changed_are_left_to_be_merged(linked: Path) -> None:
    """A sentence names the file, git lets nobody commit the marks by accident, and one command goes back."""
    procfile = linked / "Procfile"
    procfile.write_text(procfile.read_text().replace("beat: ", "beat: nice "))
    commit(linked, "Ours")
    ours = procfile.read_text()
    said = update(linked)
    assert "Applied patch to 'Procfile' with conflicts.\n" in said.stderr
    assert set(status(linked)) == {" M .cruft.json", "A  LEARNED", "UU Procfile"}
    assert re.search(r"<<<<<<< ours\nbeat: nice .*\n=======\nbeat: exec .*\n>>>>>>> theirs\n", procfile.read_text())
    with pytest.raises(subprocess.CalledProcessError):
        git(linked, "commit", "--quiet", "--message", "Update")
    git(linked, "reset", "--hard", "--quiet")
    assert status(linked) == []
    assert procfile.read_text() == ours
    assert not (linked / "LEARNED").exists()


@pytest.mark.parametrize("habit", ["demo", "test", "lint", "clean"])
def test_make_lists_its_habits(habit: str) -> None:
    """`make` alone is a question."""
    assert f"make {habit} " in run("make", folder=REPOSITORY)

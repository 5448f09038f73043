"""The template folder is a working project as it stands: it parses, lints and type-checks before it is rendered."""

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from tests.conftest import REPOSITORY, TEMPLATE, tool

PYTHON = sorted(TEMPLATE.rglob("*.py"))
# The budgets of lines of Python, tests apart; what presses them calls for a better idea or a library.
KERNEL_LINES, SERVICE_LINES, MODULE_LINES = 1500, 5000, 250


def lines(paths: list[Path]) -> int:
    """The sum of the files' lines."""
    return sum(len(path.read_text().splitlines()) for path in paths)


def strings(source: str) -> list[str]:
    """The values of the module's string literals."""
    return [str(node.value) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]


def test_python_holds_braces_in_string_literals_alone() -> None:
    """No statement of Jinja, and no expression outside a literal, so that every tool reads the folder."""
    for path in PYTHON:
        source = path.read_text()
        assert "{%" not in source, path
        expressions = re.findall(r"\{\{.*?\}\}", source)
        assert not [expression for expression in expressions if not any(expression in text for text in strings(source))]


def test_python_lints_raw(project: Path) -> None:
    """Under the rules that the template renders."""
    config = ["--no-cache", "--config", str(project / "pyproject.toml")]
    subprocess.run([tool("ruff"), "check", *config, str(TEMPLATE)], check=True)


def test_python_type_checks_raw(installed: Path) -> None:
    """Strictly, with the rendered service's own dependencies and settings."""
    config = ["--strict", "--cache-dir", os.devnull, "--config-file", str(installed / "pyproject.toml")]
    subprocess.run([str(installed / ".venv" / "bin" / "mypy"), *config], cwd=TEMPLATE, check=True)


def test_toml_parses_raw() -> None:
    """In pyproject.toml the name of the distribution, and of its command, is all that is rendered."""
    for path in TEMPLATE.rglob("*.toml"):
        assert tomllib.loads(path.read_text())
    templated = re.findall(r"\{\{ *(.*?) *\}\}", (TEMPLATE / "pyproject.toml").read_text())
    assert set(templated) == {"cookiecutter.project_slug"}


def test_yaml_parses_raw() -> None:
    """Whatever branches inside does so in comments; both branches may name the same anchor, so none is looked up."""
    for path in TEMPLATE.rglob("*.y*ml"):
        assert list(yaml.parse(path.read_text())), path


def test_at_most_three_lines_of_jinja_a_file() -> None:
    """More means two files."""
    for path in TEMPLATE.rglob("*"):
        if path.is_file():
            assert path.read_text().count("# jinja:") <= 3, path


def test_modules_are_short() -> None:
    """One noun per module fits on a few screens."""
    ours = [*PYTHON, *REPOSITORY.glob("hooks/*.py"), *REPOSITORY.glob("tests/**/*.py"), *REPOSITORY.glob("demo/*.py")]
    assert not [path for path in ours if lines([path]) > MODULE_LINES]


def test_hooks_are_under_40_lines() -> None:
    """They refuse, and keep what was chosen; the work is the Makefile's."""
    assert not [path for path in REPOSITORY.glob("hooks/*.py") if lines([path]) >= 40]


def test_the_house_stays_small_enough_to_own() -> None:
    """The kernel's shapes have budgets of their own."""
    service = TEMPLATE / "service"
    kernel = [
        path for room in ("jobs", "worker") for path in (service / room).rglob("*.py") if "shapes" not in path.parts
    ]
    assert lines(kernel) <= KERNEL_LINES
    assert lines(sorted(service.rglob("*.py"))) <= SERVICE_LINES


def test_no_cache_is_baked_into_the_template() -> None:
    """It would be rendered into every service."""
    caches = {"__pycache__", ".venv", ".ruff_cache", ".mypy_cache", ".pytest_cache", ".tools", ".local", "uv.lock"}
    assert not [path for path in TEMPLATE.rglob("*") if path.name in caches or path.suffix == ".egg-info"]


def test_no_tracked_file_names_a_registry_or_this_machine() -> None:
    """What is committed works anywhere."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    here = re.compile(r"/root/|/home/[a-z]|/work/|/tmp/lab|pypi\.org|index-url|files\.pythonhosted")
    for name in filter(None, tracked.stdout.split("\0")):
        path = REPOSITORY / name
        assert path == Path(__file__) or not here.search(path.read_text()), path

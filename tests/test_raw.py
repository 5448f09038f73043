"""The template folder is a working project as it stands: it parses, lints and type-checks before it is rendered."""

import ast
import os
import re
import subprocess
import tokenize
import tomllib
from collections.abc import Iterable
from pathlib import Path

import yaml

from tests.conftest import REPOSITORY, TEMPLATE, tool

PYTHON = sorted(TEMPLATE.rglob("*.py"))
# A module's budget counts every line; those of the rooms count lines of code, since prose is welcome there. What a
# team may delete has budgets of its own: the operator's page, whose templates, style and script are not Python, the
# examples, and each shape of work.
MODULE_LINES, KERNEL_LINES, SERVICE_LINES, PAGE_LINES, SHAPE_LINES, EXAMPLE_LINES = 250, 1500, 5000, 900, 150, 50
PROSE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines(path: Path) -> int:
    """All lines of a file."""
    return len(path.read_text().splitlines())


def lines_of_code(paths: Iterable[Path]) -> int:
    """The lines of these modules that are neither blank nor comment nor docstring."""
    count = 0
    for path in paths:
        source = path.read_text()
        with path.open("rb") as file:
            tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in PROSE]
        code = {line for token in tokens[1:] for line in range(token.start[0], token.end[0] + 1)}
        alone = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr)]
        docstrings = [node for node in alone if isinstance(node, ast.Constant)]
        count += len(code) - sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in docstrings)
    return count


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
    """Under the rules that the template renders; what they leave out is named from the folder where ruff runs."""
    config = ["--no-cache", "--config", str(project / "pyproject.toml")]
    subprocess.run([tool("ruff"), "check", *config], cwd=TEMPLATE, check=True)


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
    assert not [path for path in ours if lines(path) > MODULE_LINES]


def test_hooks_are_under_40_lines() -> None:
    """They refuse, and keep what was chosen; the work is the Makefile's."""
    assert not [path for path in REPOSITORY.glob("hooks/*.py") if lines(path) >= 40]


def test_the_house_stays_small_enough_to_own() -> None:
    """What presses a budget calls for a better idea or a library."""
    service, readme = TEMPLATE / "service", (TEMPLATE / "README.md").read_text()
    kernel = [*service.glob("jobs/*.py"), *service.glob("worker/**/*.py")]
    assert lines_of_code(kernel) <= KERNEL_LINES
    page = set(service.glob("ops/**/*.py"))
    assert lines_of_code(page) <= PAGE_LINES
    shapes = set(service.glob("jobs/shapes/*.py"))
    assert not [path for path in shapes if lines_of_code([path]) > SHAPE_LINES]
    # With their declarations, handlers and commands, and what else goes with them.
    named = {path.stem for path in shapes} - {"__init__"}
    examples = {path for path in (*service.glob("*.py"), *service.glob("[ac]*i/*.py")) if path.stem in named}
    for said in re.findall(r"^Who does not want .*? deletes (.*?) and the tests", readme, re.MULTILINE):
        examples |= {TEMPLATE / name for name in re.findall(r"`(service/tasks/[^`]+\.py)`", said)}
    for row in re.findall(r"^\| .*", readme, re.MULTILINE):
        examples |= {TEMPLATE / name for name in re.findall(r"`(service/[^`]+\.py)`", row)}
    assert not [path for path in examples if lines_of_code([path]) > EXAMPLE_LINES]
    assert lines_of_code({*service.rglob("*.py")} - page - shapes - examples) <= SERVICE_LINES


def test_no_cache_is_baked_into_the_template() -> None:
    """It would be rendered into every service."""
    caches = {"__pycache__", ".venv", ".ruff_cache", ".mypy_cache", ".pytest_cache", ".tools", ".local", "uv.lock"}
    assert not [path for path in TEMPLATE.rglob("*") if path.name in caches or path.suffix == ".egg-info"]


def test_no_tracked_file_names_a_registry_or_this_machine() -> None:
    """What is committed works anywhere."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    here = re.compile(r"/root/|/home/[a-z]|/work/|/tmp/lab|pypi\.org|index-url|files\.pythonhosted|\.\./shared")
    exempt = {Path(__file__).relative_to(REPOSITORY), Path(".ci/run")}
    tracked = {Path(name) for name in listed.stdout.split("\0") if name}
    assert not [path for path in tracked - exempt if here.search((REPOSITORY / path).read_text(errors="replace"))]

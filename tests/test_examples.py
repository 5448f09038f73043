"""The two examples can be removed as the README says, and nothing else of the service speaks of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def bare(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the service without its examples, installed."""
    copy = shutil.copytree(project, tmp_path_factory.mktemp("bare") / project.name)
    rows = re.findall(r"^\| (?:notifications|reports) \| (.*) \|$", (copy / "README.md").read_text(), re.MULTILINE)
    for file in re.findall(r"`([a-z_/0-9]+\.py)`", " ".join(rows)):
        (copy / file).unlink()
    contract = copy / "service" / "openapi.yaml"
    example = r"^  /v1/(?:reports|notifications)\S*:\n(?:    .*\n|\n)+"
    contract.write_text(re.sub(example, "", contract.read_text(), flags=re.MULTILINE))
    subprocess.run(["make", "setup"], cwd=copy, check=True)
    return copy


@pytest.mark.parametrize(
    "check", ["ruff check service", "mypy service", "lint-imports", "python -m local.check", "pytest tests/unit"]
)
def test_the_service_is_whole_without_its_examples(bare: Path, check: str) -> None:
    """Its linters, its policy and its unit tests; those of the API and of workers need something to order."""
    subprocess.run([bare / ".venv" / "bin" / check.split()[0], *check.split()[1:]], cwd=bare, check=True)

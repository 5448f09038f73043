"""The two examples can be removed as the README says, and the service is still green."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def bare(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the service without what its README's table names."""
    copy = shutil.copytree(project, tmp_path_factory.mktemp("bare") / project.name)
    contract = copy / "service" / "openapi.yaml"
    for files, blocks in table(copy):
        for file in files:
            (copy / file).unlink()
        contract.write_text(without(blocks, contract.read_text()))
    return copy


def table(folder: Path) -> Iterator[tuple[list[str], list[str]]]:
    """For each example, the files to delete and the blocks of the contract."""
    rows = re.findall(r"^\| (?:notifications|reports) \| (.*) \| (.*) \|$", (folder / "README.md").read_text(), re.M)
    assert len(rows) == 2
    for files, blocks in rows:
        yield re.findall(r"`(.+?)`", files), re.findall(r"`(.+?)`", blocks)


def without(blocks: list[str], contract: str) -> str:
    """The contract without these entries of its paths, schemas and tags, and what is indented below each."""
    for block in blocks:
        entry = rf"^( +)(?:- name: )?{re.escape(block)}(?::)?\n(?:\1 .*\n|\n(?=\1 ))*\n?"
        contract, count = re.subn(entry, "", contract, flags=re.M)
        assert count == 1, block
    return contract


def test_nothing_of_the_contract_is_left(bare: Path) -> None:
    """Whoever reads the contract finds no trace of an order."""
    contract = (bare / "service" / "openapi.yaml").read_text()
    assert not re.search(r"/v1/(?:reports|notifications)|(?:Report|Notification)Request|tags: \[(?:rep|not)", contract)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("habit", ["check", "test"])
def test_the_service_is_whole_without_its_examples(bare: Path, habit: str) -> None:
    """Its linters, its policy, and all of its tests."""
    subprocess.run(["make", habit], cwd=bare, check=True)

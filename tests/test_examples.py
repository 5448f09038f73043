"""The examples, the operator's page and the shapes go as the README says, and the service is still green."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def bare(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the service without what its README's table names, its operator's page, and its shapes."""
    copy = shutil.copytree(project, tmp_path_factory.mktemp("bare") / project.name)
    leave_out_page(copy)
    for shape in ("batches", "pipelines"):
        leave_out(shape, copy)
    leave_out_schedules(copy)
    leave_out_aggregation(copy)
    contract = copy / "service" / "openapi.yaml"
    for files, blocks in table(copy):
        for file in files:
            (copy / file).unlink()
        contract.write_text(without(blocks, contract.read_text()))
    return copy


def leave_out_page(folder: Path) -> None:
    """Delete what the README's chapter of the page names: folder, tests, lines, and the names of its commands."""
    said = re.search(r"^Who does not want it deletes (.*)$", (folder / "README.md").read_text(), re.M)
    assert said
    ops, tests, room, app, growth, process, tools, cli = re.findall(r"`(.+?)`", said[1])
    shutil.rmtree(folder / ops)
    for path in folder.glob(tests):
        path.unlink()
    for word, file in ((room, app), (growth, process)):
        text = (folder / file).read_text()
        left = [line for line in text.splitlines(keepends=True) if not re.search(rf"\b{word}\b", line)]
        assert len(text.splitlines()) - len(left) == 2
        (folder / file).write_text("".join(left))
    text, count = re.subn(rf"^({tools}: .*) = .*$", r"\1 = ()", (folder / cli).read_text(), flags=re.M)
    assert count == 1
    (folder / cli).write_text(text)


def leave_out(shape: str, folder: Path) -> None:
    """Delete what the README's chapter of it names: files, a line of the kernel, a command, and blocks."""
    said = re.search(rf"^Who does not want {shape} deletes (.*)$", (folder / "README.md").read_text(), re.M)
    assert said
    names = re.findall(r"`(.+?)`", said[1])
    end = next(number for number, name in enumerate(names) if name.endswith(":on_end"))
    hook, ending, word, cli, contract, *blocks = names[end:]
    for path in [path for files in names[:end] for path in folder.glob(files)]:
        path.unlink()
    for file, part in ((ending, rf"^.*{hook}.*\n"), (cli, f" {word},")):
        text, count = re.subn(part, "", (folder / file).read_text(), flags=re.M)
        assert count == 1, part
        (folder / file).write_text(text)
    (folder / contract).write_text(without(blocks, (folder / contract).read_text()))


def leave_out_schedules(folder: Path) -> None:
    """Delete what the README's chapter of schedules names: files, what is declared, a command, an alert, and blocks."""
    readme = folder / "README.md"
    said = re.search(r"^Who does not want schedules deletes (.*)$", readme.read_text(), re.M)
    assert said
    names = re.findall(r"`(.+?)`", said[1])
    *files, tests, duties, beat, schedule, queues, word, cli, entry, contract = names[:14]
    for path in (*(folder / file for file in files), *folder.glob(tests)):
        path.unlink()
    parts = (
        (beat, rf"^({duties}: .* = ).*$", r"\1[]"),
        (queues, rf"^({schedule}: .* = \{{)\n(?: .*\n)*\}}", r"\1}"),
        (queues, r"^from service\.schedules import .*\n\n?", ""),
        (cli, f" {word},", ""),
        ("README.md", rf"^{entry}\n(?:(?!##).*\n)*", ""),
    )
    for file, part, instead in parts:
        text, count = re.subn(part, instead, (folder / file).read_text(), flags=re.M)
        assert count == 1, part
        (folder / file).write_text(text)
    (folder / contract).write_text(without(names[14:], (folder / contract).read_text()))


def leave_out_aggregation(folder: Path) -> None:
    """Delete what the README's chapter of aggregation names, which is files alone."""
    said = re.search(r"^Who does not want aggregation deletes (.*)$", (folder / "README.md").read_text(), re.M)
    assert said
    *files, tests = re.findall(r"`(.+?)`", said[1])
    for path in (*(folder / file for file in files), *folder.glob(tests)):
        path.unlink()


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

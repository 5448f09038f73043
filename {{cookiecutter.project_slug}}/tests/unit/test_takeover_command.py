"""`check --tasks` as a person runs it: what it prints, its exit codes, and that it runs nothing of what it reads."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from local.takeover.report import report
from tests.support.stack import ROOT
from tests.unit.test_takeover import shop

GOOD = (
    "from celery import shared_task\nfrom service.worker import FastTask\n@shared_task(base=FastTask)\ndef f(): ...\n"
)


def check(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command without any setting, of which it needs none."""
    given = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        [sys.executable, "-m", "service", "check", "--tasks", *words],
        cwd=cwd, env=given | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_what_is_found_is_printed_and_ends_with_1(tmp_path: Path) -> None:
    done = check("shop", cwd=shop("old", tmp_path).parent)
    assert done.returncode == 1
    assert "time-limit: expected a soft and a hard time limit\n  costs: a call that hangs" in done.stdout
    assert "\n  shop/tasks.py:20: shop.tasks.no_limits, got: neither on the task nor for all\n" in done.stdout
    assert re.fullmatch(r"expected no findings, got: \d+, of 28 tasks in 5 files\n", done.stderr)


def test_scripts_get_the_same_as_json(tmp_path: Path) -> None:
    package = shop("old", tmp_path)
    done = check(str(package), "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert {"task": "shop.tasks.no_limits", "path": str(package / "tasks.py"), "line": 20} in answer["tasks"]
    keys = {"path", "line", "rule", "task", "expected", "got", "costs", "remedy"}
    assert all(each.keys() == keys for each in answer["findings"])
    assert answer["unreadable"] == []


def test_nothing_found_ends_with_0(tmp_path: Path) -> None:
    done = check(str(shop("new", tmp_path)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing found: 28 tasks in 5 files were read\n", "")


def test_what_cannot_be_checked_ends_with_2(tmp_path: Path) -> None:
    done = check("missing", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Invalid value for --tasks: expected a file or a folder in missing, got: nothing there" in done.stderr


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "expected a file or a folder in PATH, got: nothing there"),
        ("notes", "expected Python in notes, got: no file that ends in .py"),
        ("plain", "expected Celery tasks in plain, got: none; give the folder in which @app.task or @shared_task"),
    ],
)
def test_what_cannot_be_checked_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("notes/readme.txt", "notes/.venv/tasks.py", "notes/node_modules/tasks.py", "plain/orders.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x = 1\n" if name.startswith("plain") else GOOD)
    with pytest.raises(click.BadParameter, match=re.escape(said)):
        report(path, as_json=False)


UNREADABLE = {
    "binary.py": (b"x = 1\0\n", "binary.py"),
    "deep.py": (b"x = " + b"-" * 300 + b"1\n", "deep.py: expected Python that people wrote, got: 150 levels and more"),
    "latin.py": (b"x = 'caf\xe9'\n", "latin.py:1: expected Python 3."),
    "open.py": (b"x = " + b"(" * 5000 + b"1\n", "open.py"),
    "two.py": (b'print "ordered"\n', "two.py:1: expected Python 3."),
}


def test_files_that_are_no_python_are_one_sentence_each_and_the_others_go_on(tmp_path: Path) -> None:
    for name, (source, _) in UNREADABLE.items():
        (tmp_path / name).write_bytes(source)
    (tmp_path / "tasks.py").write_text(GOOD.replace("base=FastTask", ""))
    done = check(".", cwd=tmp_path)
    assert done.returncode == 1
    assert "  tasks.py:4: tasks.f, got: neither on the task nor for all\n" in done.stdout
    *sentences, summary = done.stderr.splitlines()
    expected = [said for _, said in UNREADABLE.values()]
    assert [pair for pair in zip(sentences, expected, strict=True) if not pair[0].startswith(pair[1])] == []
    assert summary == "expected no findings, got: 2 and 5 files that could not be read, of 1 tasks in 1 files"


def test_nothing_of_what_is_read_is_run(tmp_path: Path) -> None:
    trap = f"from pathlib import Path\nPath({str(tmp_path / 'sprung')!r}).touch()\nraise SystemExit(7)\n"
    (tmp_path / "tasks.py").write_text(GOOD + trap)
    (tmp_path / "celery.py").write_text(trap)
    assert check(str(tmp_path)).returncode == 0
    assert not (tmp_path / "sprung").exists()


def test_in_the_image_it_says_that_it_works_in_a_clone(tmp_path: Path) -> None:
    """The image has the service alone; the folder of developers that the tests' environment knows is hidden here."""
    shutil.copytree(ROOT / "service", tmp_path / "service", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "__init__.py").touch()
    done = check("service/tasks", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "--tasks: expected a clone of the repository, got: no local/ here; run it in one\n"


def test_the_readme_shows_what_it_prints(tmp_path: Path) -> None:
    chapter = (ROOT / "README.md").read_text().partition("## Take over what you have")[2].partition("\n## ")[0]
    words = re.search(r"^\.venv/bin/python -m service check --tasks (\S+)$", chapter, re.MULTILINE)
    excerpt = re.search(r"^```text\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL)
    assert words
    assert excerpt
    (tmp_path / "here").mkdir()
    shop("old", tmp_path).parent.rename(tmp_path / "here" / words[1])
    done = check(words[1], cwd=tmp_path / "here")
    shown = [line for line in excerpt[1].splitlines() if line != "..."]
    assert len(shown) > 5
    assert [line for line in shown if line not in (done.stdout + done.stderr).splitlines()] == []


def test_names_that_somebody_chose_move_no_cursor(tmp_path: Path) -> None:
    odd = "\x1b]52;c;aGFjaw==\x07\x9b2J"
    (tmp_path / f"{odd}.py").write_text(GOOD.replace("base=FastTask", ""))
    (tmp_path / f"{odd}-open.py").write_text("x = (")
    done = check(".", cwd=tmp_path)
    for said in (done.stdout, done.stderr):
        assert r"\x1b]52;c;aGFjaw==\x07\x9b2J" in said
        assert not {each for each in said if not each.isprintable()} - {"\n"}, said

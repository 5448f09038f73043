"""Tests that run in two processes at once have apart, or in turn, what they would share, and tell one story."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support import lanes
from tests.support.stack import ROOT

pytestmark = pytest.mark.slow

SUITE = '''
import os
import time

import pytest

from tests.support.ports import free_port
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def told(tmp_path_factory):
    """Where all processes write what they have."""
    folder = tmp_path_factory.getbasetemp().parent / "told"
    folder.mkdir(exist_ok=True)
    told = [os.environ["PYTEST_XDIST_WORKER"], str(free_port()), os.environ.get("TEST_DATABASE_URL", "")]
    with (folder / "lines").open("a") as lines:
        lines.write(" ".join(told) + "\\n")
    return folder


@pytest.mark.alone
@pytest.mark.fault("L12", "stock")
@pytest.mark.parametrize("number", [1, 2])
def test_alone(told, number, recovered):
    with (told / "alone").open("x"):
        assert not list(told.glob("beside*"))
        time.sleep(0.5)
        assert not list(told.glob("beside*"))
    (told / "alone").unlink()
    recovered(number)


def beside(told, number):
    """Each waits for the other, and the second lasts longer."""
    (told / f"here-{number}").touch()
    (told / f"beside-{number}").touch()
    until(lambda: (told / f"here-{3 - number}").exists())
    time.sleep(number / 2)
    assert not (told / "alone").exists()
    (told / f"beside-{number}").unlink()


# Each process is given two tests to begin with.
@pytest.mark.fault("L2", "stock")
def test_beside_the_second(told, measured):
    beside(told, 1)
    measured("number 1")


@pytest.mark.fault("D1", "stock")
def test_that_cannot_begin(no_such_fixture):
    pass


@pytest.mark.fault("L2", "stock")
def test_beside_the_first(told, measured):
    beside(told, 2)
    measured("number 2")


@pytest.mark.skipif(True, reason="not here")
@pytest.mark.fault("D1", "stock")
def test_that_is_not_for_here():
    pass
'''

TABLE = """
D1   BROKE           that cannot begin
D1   skipped         that is not for here
L2   held            beside the second
L2   held            beside the first
L12  held     1.0 s  alone
L12  held     2.0 s  alone
""".strip().splitlines()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[list[str]]]:
    """What is printed by two processes with these tests, and what each of their tests had.

    Their plugin is a copy: those who wait for each other hold one and the same file, and this test its own already.
    """
    folder = tmp_path_factory.mktemp("lanes")
    (folder / "test_suite.py").write_text(SUITE)
    shutil.copy(Path(lanes.__file__), folder / "apart.py")
    plugins = ["-papart", "-ptests.support.table"]
    processes = ["--numprocesses", "2", "--maxschedchunk", "1"]
    places = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "--basetemp", str(folder / "temp")]
    words = [sys.executable, "-m", "pytest", "-pno:cacheprovider", *plugins, *processes, *places, str(folder)]
    given = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", lanes.BROKER))}
    environment = given | {"PYTHONPATH": str(folder)}
    said = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "1 skipped, 1 error" in said.stdout, said.stdout + said.stderr
    return said.stdout, [line.split(" ") for line in (folder / "temp/told/lines").read_text().splitlines()]


def test_some_run_beside_each_other_and_some_alone(run: tuple[str, list[list[str]]]) -> None:
    said, had = run
    assert "4 passed" in said, said
    assert {name for name, *_ in had} == {"gw0", "gw1"}


def test_their_table_is_whole_and_in_order(run: tuple[str, list[list[str]]]) -> None:
    said, _ = run
    assert re.findall(r"^[DL]\d+ .*", said, re.MULTILINE) == TABLE
    assert re.findall("measured: (.*)", said) == ["number 1", "number 2"]


def test_they_have_ports_of_their_own(run: tuple[str, list[list[str]]]) -> None:
    assert len({(name, int(port) % 2) for name, port, _ in run[1]}) == 2


@pytest.mark.skipif("TEST_DATABASE_URL" not in os.environ, reason="each test has a file of its own on SQLite")
def test_they_have_databases_of_their_own_which_go_with_them(run: tuple[str, list[list[str]]]) -> None:
    given = os.environ["TEST_DATABASE_URL"]
    assert {(name, url) for name, _, url in run[1]} == {("gw0", f"{given}_gw0"), ("gw1", f"{given}_gw1")}
    named = [f"{make_url(given).database}_gw{lane}" for lane in range(2)]
    with psycopg.connect(given) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [named]).fetchall()
    assert not left

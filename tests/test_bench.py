"""What the README says of speed is what the newest results bear out, and the benchmark itself can be relied on."""

import copy
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import load, postgresql, processes, redis_server, results, table
from benchmarks.contestant import BODY, PATH
from benchmarks.peers import NAMES, contestants
from benchmarks.processes import Process, Trouble
from benchmarks.promises import PROMISES
from benchmarks.steps import STEPS
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
NEWEST = results.read()


def said(readme: str) -> str:
    """The part of a README that is made."""
    found = table.PART.search(readme)
    assert found
    return found[0]


def test_the_readme_says_what_the_newest_results_say() -> None:
    """To the letter: what is written there by hand has no number of a measurement."""
    assert said(README) == table.markdown(NEWEST)


def test_a_claim_that_results_do_not_bear_out_is_found() -> None:
    """A service that does half as much is not what the README says, and keeps fewer promises."""
    changed: dict[str, Any] = copy.deepcopy(NEWEST)
    wanted = {"done, against procrastinate", "done, against stock Celery with results"}
    ours = changed["steps"]["done"]["contestants"]["ours"]
    ours["jobs_per_second"] /= 2
    assert said(README) != table.markdown(changed)
    for jobs_per_second, kept in ((1_000_000, True), (0.001, False)):
        ours["jobs_per_second"] = jobs_per_second
        assert {promise.kept(changed) for promise in PROMISES if promise.words in wanted} == {kept}
        broken = [promise for promise in PROMISES if promise.kept(changed) is False]
        assert table.markdown(changed).count("| not reached |") == len(broken)


def test_the_plot_is_that_of_the_newest_results() -> None:
    """It has their mark and their words, stands on light and dark, and brings what it needs."""
    drawn = (REPOSITORY / "benchmarks" / "results.svg").read_text()
    assert f"<dc:identifier>{results.digest(NEWEST)}</dc:identifier>" in drawn
    assert f"![{table.alternative(NEWEST)}](benchmarks/results.svg)" in README
    assert not re.search(r"fill: ?#(?:ffffff|000000)", drawn)
    assert not re.search(r"@import|<image|<script", drawn)


def test_results_tell_when_and_on_what_and_not_whose() -> None:
    """No name of a host, no path of it, and no address."""
    text = json.dumps(NEWEST)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", NEWEST["date"])
    assert NEWEST["machine"].keys() == {"cores", "cpu", "memory_gb", "system"}
    assert {"postgresql", "redis", "celery", "rq", "dramatiq", "huey", "taskiq", "procrastinate"} <= NEWEST[
        "versions"
    ].keys()
    assert socket.gethostname() not in text
    assert not re.search(r"https?://|/(?:tmp|home|root|usr|work)/", text)


def test_every_contestant_says_what_it_survives() -> None:
    """Each answer begins with yes or no."""
    found = contestants()
    assert tuple(found) == NAMES
    for name, each in found.items():
        assert name == each.name
        assert all(re.match(r"(yes|no)\b", words) for words in vars(each.survives).values()), name
        assert (REPOSITORY / "benchmarks" / "peers" / (each.module or name) / "app.py").exists()


def test_redis_is_what_compose_configures(project: Path) -> None:
    """The same words, but for the password and for where it lies."""
    command = yaml.safe_load((project / "compose.yaml").read_text())["services"]["broker"]["command"][1:]
    wanted = dict(zip(command[::2], command[1::2], strict=True)) | {"--requirepass": redis_server.PASSWORD}
    assert {f"--{name}": value for name, value in redis_server.SETTINGS.items()} == wanted


def test_an_unknown_step_is_refused_in_a_sentence() -> None:
    """With those that there are."""
    run = bench("ONLY=accpet")
    assert run.wait(60) == 2
    assert run.stderr
    assert run.stderr.read() == f"expected ONLY to name steps ({', '.join(STEPS)}), got: accpet\n"


def test_ctrl_c_is_one_sentence_and_leaves_no_process_and_no_result() -> None:
    """What was measured before stays what it was."""
    before = results.FILE.read_bytes()
    run = bench("ONLY=render")
    assert run.stdout
    assert "render" in run.stdout.readline()
    time.sleep(1)
    # As a terminal does, to all that are in front.
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(60) == 130
    assert run.stderr
    assert run.stderr.read().strip().splitlines() == ["stopped; benchmarks/results.json stays as it was"]
    assert results.FILE.read_bytes() == before
    left = [int(each.parent.name) for each in Path("/proc").glob("[0-9]*/stat") if session(each) == run.pid]
    assert not any(map(processes.lives, left))


def bench(setting: str) -> "subprocess.Popen[str]":
    """A run of the benchmark in a session of its own."""
    words = ["env", setting, sys.executable, "-m", "benchmarks"]
    out = err = subprocess.PIPE
    return subprocess.Popen(words, cwd=REPOSITORY, text=True, start_new_session=True, stdout=out, stderr=err)


def session(stat: Path) -> int:
    """The session of a process, or none of one that is gone."""
    try:
        return int(stat.read_text().rpartition(")")[2].split()[3])
    except OSError:
        return 0


def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    """Also what has moved into a group of its own, as RQ's children do."""
    script = "import os, subprocess; subprocess.Popen(['sleep', '600'], process_group=0); print(flush=True); os.wait()"
    made = Process(sys.executable, "-c", script, folder=tmp_path, log=tmp_path / "log")
    made.wait(lambda: len(processes.family(made.pid)) == 2)
    both = processes.family(made.pid)
    assert made.memory() > 1
    processes.end()
    assert not any(map(processes.lives, both))


def test_what_does_not_start_is_a_sentence(tmp_path: Path) -> None:
    """With its last words; so is a program that is not installed."""
    script = "import sys; sys.exit('the port is in use')"
    made = Process(sys.executable, "-c", script, folder=tmp_path, log=tmp_path / "log")
    with pytest.raises(Trouble, match=r"expected python.* to run, got: the port is in use"):
        made.wait(lambda: False)
    processes.end()
    with pytest.raises(Trouble, match="expected PostgreSQL's programs, got: none; on Debian: apt install postgresql"):
        postgresql.programs(["no-such-program"])
    with pytest.raises(Trouble, match="expected the program no-such-program, got: none"):
        processes.run("no-such-program", folder=tmp_path)


@pytest.fixture(params=[b"", b"Connection: close\r\n"])
def accepting(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that answers everything with 202, and keeps connections or closes them."""
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n" + request.param + b"\r\n{}"
    whole = len(load.request(0, PATH, "token", BODY)) - 1

    def serve(connection: socket.socket) -> None:
        came = 0
        # The load ends in the middle of an answer.
        with connection, suppress(ConnectionError):
            while part := connection.recv(65536):
                came += len(part)
                if came >= whole:
                    came = 0
                    connection.sendall(answer)
                    if request.param:
                        break

    def listen() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=listen, daemon=True).start()
        yield server.getsockname()[1]


def test_the_load_is_not_what_is_measured(accepting: int) -> None:
    """It drives a server that does nothing, threads of this very process, faster than any contestant answers."""
    found = load.drive(accepting, load.request(accepting, PATH, "token", BODY), 1.0, connections=4)
    assert found["refused"] == 0
    assert found["accepted"] > 500
    assert 0 < found["p50_ms"] <= found["p99_ms"]

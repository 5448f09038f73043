"""The operator's commands, run as an operator runs them: what they print, and their exit codes."""

import json
import subprocess
import sys
from typing import Any

from sqlalchemy import update

from service import database
from service.jobs import Job, history
from service.jobs.doorbell import broker_queue
from service.queues import QUEUES
from tests.support.stack import ROOT, Stack, until


def command(stack: Stack, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command on the stack's stores."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support", *words],
        cwd=ROOT, env=stack.environment | environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def answer(stack: Stack, *words: str) -> Any:
    """What a command says to a script."""
    done = command(stack, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_job_is_run_from_the_shell_and_waited_for(running: Stack) -> None:
    done = answer(running, "tasks", "run", "trials.echo", '{"value": "hello"}', "--wait")
    assert (done["state"], done["result"]) == ("succeeded", "hello")
    shown = answer(running, "jobs", "show", done["id"])
    assert shown["arguments"] == {"value": "hello"}
    assert [event["event"] for event in shown["events"]] == ["accepted", "started", "succeeded"]


def test_a_job_that_fails_is_exit_code_1_and_a_dead_letter(running: Stack) -> None:
    done = command(running, "tasks", "run", "trials.broken", "--wait")
    assert done.returncode == 1
    assert "expected job" in done.stderr
    (letter,) = answer(running, "jobs", "list", "--state", "failed", "--task", "trials.broken")["jobs"]
    assert answer(running, "jobs", "retry", letter["id"])["state"] == "queued"
    until(lambda: answer(running, "jobs", "show", letter["id"])["attempt"] == 2)
    until(lambda: answer(running, "jobs", "show", letter["id"])["state"] == "failed")
    assert answer(running, "jobs", "retry-all", "trials.broken", "ValueError")["retried"] == 1
    until(lambda: answer(running, "jobs", "show", letter["id"])["attempt"] == 3)
    until(lambda: answer(running, "jobs", "show", letter["id"])["state"] == "failed")
    assert answer(running, "jobs", "discard", letter["id"])["state"] == "cancelled"


def test_what_others_wrote_moves_no_cursor_of_the_operators_terminal(stack: Stack) -> None:
    odd = "\x1b]52;c;aGFjaw==\x07\x1b[2J\x9b1A\r\nnext"
    row = stack.submit("trials.broken")
    with database.transaction() as session:
        history.record(session, row, "log", odd)
        about = {"state": "failed", "error_type": odd, "error_message": odd, "traceback": f"first\n{odd}"}
        session.execute(update(Job).where(Job.id == row.id).values(about))
    for words in (("jobs", "show", row.id), ("jobs", "list", "--state", "failed")):
        said = command(stack, *words).stdout
        assert r"\x1b]52;c;aGFjaw==\x07" in said, said
        assert not {each for each in said if not each.isprintable()} - {"\n"}, said
    said = command(stack, "queues", "pause", odd).stderr
    assert r"\x1b]52;c;aGFjaw==\x07" in said
    assert not {each for each in said if not each.isprintable()} - {"\n"}, said


def test_a_redis_that_is_away_is_told_by_the_variable_that_names_it(running: Stack) -> None:
    done = command(running, "check", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "expected a Redis at REDIS_URL, got: ConnectionError" in done.stderr
    assert "correct REDIS_URL" in done.stderr


def test_what_is_refused_says_what_was_expected_and_what_to_do(running: Stack) -> None:
    for words, sentence in [
        (("tasks", "run", "trials.ecko", '{"value": "x"}'), "did you mean trials.echo"),
        (("tasks", "run", "trials.echo", '{"valeu": "x"}'), "trials.echo: "),
        (("jobs", "show", "00000000-0000-7000-8000-000000000000"), "No job of yours has this id"),
        (("queues", "pause", "medium"), f"expected queue to be one of {', '.join(QUEUES)}, got: medium"),
    ]:
        done = command(running, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert sentence in done.stderr


def test_wrong_usage_and_wrong_settings_are_exit_code_2(running: Stack) -> None:
    assert command(running, "worker", "medium").returncode == 2
    assert command(running, "tasks", "run", "trials.echo", "[1]").returncode == 2
    wrong = command(running, "check", BROKER_URL="", PORT="x")
    assert wrong.returncode == 2
    assert "BROKER_URL: expected a value" in wrong.stderr
    assert "PORT: " in wrong.stderr


def test_a_password_that_flower_would_cut_is_refused(running: Stack) -> None:
    done = command(running, "flower", FLOWER_PASSWORD="a,hunter2", FLOWER_PORT="0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("FLOWER_PASSWORD: expected none of")
    assert "hunter2" not in done.stderr


def test_queues_are_listed_with_their_workers_paused_and_resumed(running: Stack) -> None:
    assert answer(running, "queues", "pause", "slow") == {"name": "slow", "paused": True}
    queues = {queue["name"]: queue for queue in answer(running, "queues", "list")["queues"]}
    assert queues["slow"]["paused"]
    assert [worker["version"] for worker in queues["fast"]["workers"]] == ["test"]
    assert answer(running, "queues", "resume", "slow") == {"name": "slow", "paused": False}


def test_check_prints_the_workers_command_lines_and_finds_nothing_wrong(running: Stack) -> None:
    report = answer(running, "check")
    assert report["faults"] == []
    assert f"--queues={broker_queue('slow').name}" in report["workers"]["slow"]


def test_a_missing_broker_or_migration_is_named_with_the_remedy(running: Stack) -> None:
    away = command(running, "check", BROKER_URL="redis://127.0.0.1:1/0")
    assert away.returncode == 1
    assert "expected a broker at BROKER_URL" in away.stderr
    old = command(running, "worker", "fast", DATABASE_URL=f"sqlite:///{running.directory / 'empty.db'}")
    assert old.returncode == 1
    assert "run `python -m service migrate`" in old.stderr


def test_ended_jobs_are_purged_by_age(running: Stack) -> None:
    old = answer(running, "tasks", "run", "trials.echo", '{"value": "old"}', "--wait")["id"]
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == old).values(ended_at=database.now(-2 * 86_400)))
    assert answer(running, "jobs", "purge") == {"deleted": 0}
    assert answer(running, "jobs", "purge", "--older-than-days", "1") == {"deleted": 1}
    assert command(running, "jobs", "purge", "--older-than-days", "0.5").returncode == 2

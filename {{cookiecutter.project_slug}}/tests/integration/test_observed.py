"""What real processes let be seen: one form of line for all of them, errors once each, and no secret anywhere."""

import json
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery

from service import NAME
from service.api.tokens import mint
from service.jobs import State, query, submit
from service.jobs.doorbell import broker_queue
from service.queues import SCHEDULE
from tests.integration.test_commands import command
from tests.support.callers import Api
from tests.support.door import PATH
from tests.support.sentry import Sentry
from tests.support.stack import Stack, until

pytestmark = pytest.mark.slow

EVERYWHERE = {"timestamp", "level", "event", "logger", "service", "version", "environment", "role"}

# Every way in which an attempt of `spills.spill` ends, and the state that its job comes to.
WAYS = {
    "succeed": State.SUCCEEDED,
    "retry": State.SUCCEEDED,
    "fail": State.FAILED,
    "integrity": State.FAILED,
    "url": State.FAILED,
    "crash": State.FAILED,
    "memory": State.FAILED,
    "exit": State.FAILED,
}


def lines(log: Path) -> list[dict[str, Any]]:
    """The log of a role; a line that is none fails the test."""
    return [json.loads(line) for line in log.read_bytes().splitlines()]


def test_every_role_writes_lines_of_one_form_and_nothing_else(stack: Stack) -> None:
    worker, beat, api = stack.start("worker", "fast"), stack.start("beat"), Api(stack)
    with api.client() as client:
        body = {"task": "spills.spill", "arguments": {"secret": "x"}}
        answer = client.post(PATH, json=body, headers={"X-Request-Id": "from-the-caller"})
    stack.ended(job_id := answer.json()["id"])
    stack.ended(stack.submit("trials.deadly", times=1, how="exit").id)
    until(lambda: beat.said("beat"))
    assert [role.stop() for role in stack.roles] == [0, 0, 0]
    for role in stack.roles:
        for line in lines(role.log):
            assert line.keys() >= EVERYWHERE, line
            assert (line["service"], line["version"], line["environment"]) == (NAME, "test", "test")
    (served,) = [line for line in lines(api.role.log) if line["event"] == "request served"]
    assert (served["role"], served["path"], served["client"]) == ("api", PATH, "shop")
    done = [line for line in lines(worker.log) if line["event"] == "job succeeded" and line["job_id"] == job_id]
    (line,) = done
    assert line["request_id"] == served["request_id"] == "from-the-caller"
    assert (line["role"], line["task"], line["queue"], line["attempt"], line["client"]) == (
        "worker-fast", "spills.spill", "fast", 1, "shop",
    )  # fmt: skip
    assert 0 <= line["duration"] < 20
    printed = [line for line in lines(worker.log) if line["event"].startswith("printed")]
    assert {(line["where"].partition(":")[0], line["job_id"]) for line in printed} == {("service.tasks.spills", job_id)}
    (crash,) = [line for line in lines(worker.log) if line["event"] == "job crashed"]
    assert crash["task"] == "trials.deadly"


def test_a_plain_call_is_not_told_under_the_job_that_its_process_did_before(stack: Stack) -> None:
    worker = stack.start("worker", "fast", QUEUE_FAST_CONCURRENCY="1")
    row = stack.submit("trials.echo", value="before")
    stack.ended(row.id)
    with Celery(broker=stack.broker.url, set_as_current=False) as celery:
        celery.send_task("trials.echo", kwargs={"value": "plain"}, queue=broker_queue("fast"))
    failed = until(lambda: [line for line in lines(worker.log) if "RuntimeError" in line.get("exception", "")])
    assert not {"job_id", "client", "attempt"} & failed[0].keys()


class TestSecrets:
    """Planted in every header, argument, URL and exception, and looked for in all that is written or sent."""

    def plant(self, stack: Stack, sentry: Sentry, secret: str) -> str:
        """Use the service in every way with `secret` in it; gives all that its processes wrote."""
        stack.environment["LOG_LEVEL"] = "DEBUG"
        worker, api = stack.start("worker", "fast"), Api(stack)
        with api.client() as client:
            rows = {}
            for how in WAYS:
                if how == "crash":
                    # What a process has told is on its way for a moment, and would go with it.
                    until(lambda: len(sentry.events) == len({"fail", "integrity", "url"}))
                body = {"task": "spills.spill", "arguments": {"secret": secret, "how": how}}
                rows[how] = client.post(PATH, json=body).json()["id"]
            self.knock(client, secret)
        ended = stack.ended(*rows.values(), seconds=60)
        assert {how: row.state for how, row in zip(WAYS, ended, strict=True)} == WAYS
        # For those who may read it, the row has the error whole.
        assert f"message-{secret}" in (ended[2].error_message or "")
        assert f"cause-{secret}" in (ended[2].traceback or "")
        self.schedule(stack, secret)
        beat = stack.start("beat")
        until(lambda: beat.log.read_text().count("\n") >= 2)
        written = [self.run(stack, secret)]
        for role in stack.roles:
            role.stop()
        return "\n".join([*written, *(role.log.read_text() for role in (worker, api.role, beat))])

    def knock(self, client: httpx.Client, secret: str) -> None:
        """Say it to the API, where it is known and where it is not."""
        for name in ("Authorization", "Cookie", "X-Api-Key", "X-Request-Id", "Idempotency-Key", "User-Agent"):
            client.get("/v1/jobs", headers={name: f"header {secret}"})
        client.get(f"/v1/jobs?state={secret}&cursor={secret}")
        client.get(f"/v1/{secret}/of/http://user:{secret}@host")
        client.post("/v1/notifications", json={"url": f"http://u:{secret}@127.0.0.1:9/?q={secret}", "message": secret})
        client.post("/v1/reports", json={"title": secret, "rows": secret, secret: secret})
        client.post("/v1/reports", content=secret + "{", headers={"Content-Type": "application/json"})
        broken = client.post(PATH, json={"fault": f"fault-{secret}"})
        assert broken.status_code == httpx.codes.INTERNAL_SERVER_ERROR

    def schedule(self, stack: Stack, secret: str) -> None:
        """Let a run of the schedule fail with it."""
        name = next(iter(SCHEDULE), "none")
        row = submit("spills.spill", {"secret": secret, "how": "fail"}, client="beat", idempotency_key=f"{name}@now")
        stack.ended(row.id)

    def run(self, stack: Stack, secret: str) -> str:
        """Give it to commands; what they log is on standard error."""
        arguments = json.dumps({"secret": secret, "how": "fail"})
        away = {"DATABASE_URL": f"postgresql://user:{secret}@127.0.0.1:1/service"}
        said = [command(stack, "tasks", "run", "spills.spill", arguments, "--wait").stderr]
        for words in (("check",), ("jobs", "list"), ("worker", "fast"), ("api",), ("beat",)):
            done = command(stack, *words, **away)
            assert done.returncode == 1
            said += [done.stdout, done.stderr]
        return "\n".join(said)

    def test_none_comes_to_light(self, stack: Stack, sentry: Sentry) -> None:
        secret = f"s3cr3t{secrets.token_hex(8)}"
        written = self.plant(stack, sentry, secret)
        found = [line for line in written.splitlines() if secret in line]
        assert not found, "\n".join(found)[:5000]
        until(lambda: len(sentry.events) >= sum(state is State.FAILED for state in WAYS.values()) + 3)
        assert not [body for body in sentry.bodies if secret in body]

    def test_each_would_without_the_allow_list(self, stack: Stack, sentry: Sentry) -> None:
        secret = f"s3cr3t{secrets.token_hex(8)}"
        stack.environment |= {"UNREDACTED": "yes"}
        written = self.plant(stack, sentry, secret)
        places = (
            "field",
            "list",
            "bound",
            "text",
            "argument",
            "print",
            "stderr",
            "warning",
            "cause",
            "message",
            "note",
        )
        assert [place for place in places if f"{place}-{secret}" not in written] == []
        until(lambda: f"message-{secret}" in "".join(sentry.bodies))


class TestJobLogs:
    """What a task tells its own job, for those who may read that."""

    def test_the_last_hundred_lines_stay_among_all_that_happened(self, stack: Stack) -> None:
        stack.start("worker", "fast")
        mine, other = stack.submit("spills.diary", lines=250), stack.submit("spills.diary", lines=3)
        stack.ended(mine.id, other.id, seconds=60)
        events = query.events(mine.id, None)
        said = [(event.message or "").split()[0] for event in events if event.event == "log"]
        assert said == [str(number) for number in range(150, 250)]
        assert [event.event for event in events if event.event != "log"] == ["accepted", "started", "succeeded"]
        assert stack.events(other.id).count("log") == 3
        shown = command(stack, "jobs", "show", mine.id).stdout
        assert "249" in shown

    def test_a_line_is_cut_and_holds_no_key(self, stack: Stack) -> None:
        stack.start("worker", "fast")
        secret = secrets.token_hex(16)
        token = mint("shop", ("jobs:read",), name="x")[0]
        doors = f"amqp://user:{secret}@host/?token={secret} Bearer {secret} {token} whsec_{secret} \x00 \ud800"
        long = stack.submit("spills.diary", lines=1, text="é" * 9000)
        locked = stack.submit("spills.diary", lines=1, text=doors)
        assert [row.state for row in stack.ended(long.id, locked.id)] == [State.SUCCEEDED] * 2
        (line,) = [event.message or "" for event in query.events(long.id, None) if event.event == "log"]
        assert line.endswith("… (cut)")
        assert 8000 < len(line.encode()) < 8300
        (line,) = [event.message or "" for event in query.events(locked.id, None) if event.event == "log"]
        assert secret not in line
        assert token not in line
        assert "amqp://…@host/" in line

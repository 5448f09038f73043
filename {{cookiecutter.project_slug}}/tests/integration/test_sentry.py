"""What Sentry is told by real processes: each dead letter and each surprise once, and nothing that is not listed."""

import subprocess
import sys

import httpx
import pytest
from sqlalchemy import update

from service import database
from service.jobs import Job, State, submit
from service.queues import MAX_CRASHES, MAX_LOSSES
from tests.integration.test_commands import command
from tests.support.callers import Api
from tests.support.door import PATH
from tests.support.sentry import Sentry
from tests.support.stack import ROOT, Stack, until

pytestmark = pytest.mark.slow


class TestSentry:
    """What Sentry is told, and what is kept from it."""

    def test_each_dead_letter_is_one_event_whoever_buried_it(self, stack: Stack, sentry: Sentry) -> None:
        stack.start("worker", "fast", OUTBOUND_ALLOW="")
        poison = stack.submit("trials.deadly")
        late = stack.submit("trials.stubborn")
        wrong, again = stack.submit("trials.broken"), stack.submit("trials.flaky", failures=2)
        url = submit("notifications.send", {"url": "http://127.0.0.1:9/", "message": "x"}, client="shop")
        rows = stack.ended(poison.id, late.id, wrong.id, again.id, url.id, seconds=60)
        assert [row.state for row in rows].count(State.FAILED) == 4
        until(lambda: all(sentry.of(row.id) for row in rows if row.state is State.FAILED))
        stack.roles[0].stop()
        assert sentry.of(again.id) == []
        assert rows[0].crashes == MAX_CRASHES
        said = [(event["tags"]["error"], len(sentry.of(row.id))) for row in rows for event in sentry.of(row.id)]
        assert said == [("poison", 1), ("timeout", 1), ("ValueError", 1), ("UpstreamRefused", 1)]
        (event,) = sentry.of(wrong.id)
        assert (event["release"], event["environment"], event["server_name"]) == ("test", "test", "worker-fast")
        assert event["contexts"]["job"] == {
            "job_id": wrong.id, "task": "trials.broken", "queue": "fast", "attempt": 1, "client": "internal",
            "error": "ValueError",
        }  # fmt: skip
        (raised,) = event["exception"]["values"]
        assert raised["type"] == "ValueError"
        assert raised["stacktrace"]["frames"][-1]["function"] == "broken"
        assert not {"value", "vars"} & {*raised, *raised["stacktrace"]["frames"][-1]}

    def test_a_job_that_ten_workers_lost_is_one_event_of_who_found_it(self, stack: Stack, sentry: Sentry) -> None:
        row = stack.submit("trials.sleep", seconds=60)
        with database.transaction() as session:
            session.execute(update(Job).where(Job.id == row.id).values(losses=MAX_LOSSES - 1))
        worker, beat = stack.start("worker", "slow"), stack.start("beat")
        until(lambda: stack.job(row.id).state is State.RUNNING)
        worker.kill()
        stack.ended(row.id)
        (event,) = until(lambda: sentry.of(row.id))
        assert (event["tags"]["error"], event["server_name"]) == ("lost", "beat")
        assert beat.stop() == 0
        assert len(sentry.of(row.id)) == 1

    def test_what_nobody_foresaw_in_the_api_is_one_event_with_the_request(self, stack: Stack, sentry: Sentry) -> None:
        api = Api(stack)
        with api.client() as client:
            answer = client.post(PATH, json={"fault": "x"})
            client.post(PATH, json={"task": "no.such", "arguments": {}})
            client.get("/v1/nothing")
        assert answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR
        api.role.stop()
        (event,) = sentry.events
        assert event["tags"]["request_id"] == answer.json()["request_id"]
        assert (event["server_name"], event["exception"]["values"][0]["type"]) == ("api", "ValueError")

    def test_without_an_address_it_is_not_even_imported(self, stack: Stack) -> None:
        code = (
            "import sys; from service import observe; from service.config import settings;"
            "observe.start(settings(), 'worker-fast'); import service.worker.process, service.beat, service.api.app;"
            "sys.exit('sentry_sdk' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=stack.environment, timeout=60).returncode == 0

    def test_an_address_that_is_none_is_refused_with_the_remedy(self, stack: Stack) -> None:
        refused = command(stack, "worker", "fast", SENTRY_DSN="https://no-key.example/1")
        assert refused.returncode == 1
        assert "expected SENTRY_DSN to be a project's address" in refused.stderr

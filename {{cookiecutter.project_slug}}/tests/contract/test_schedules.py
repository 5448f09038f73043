"""Schedules over HTTP: who may see, pause, resume and fire them, and what is said of it."""

import json
from typing import Any

import httpx
import pytest

from service.database import transaction
from service.jobs import query
from service.jobs.shapes import schedules
from service.queues import SCHEDULE

NAME = next(iter(SCHEDULE), "")

pytestmark = pytest.mark.skipif(not NAME, reason="there is none")


@pytest.fixture(autouse=True)
def _afresh(stores: Any) -> None:
    with transaction() as session:
        session.query(schedules.Clock).delete()


def lines(stores: Any, event: str) -> list[dict[str, Any]]:
    """What the API's log says of this."""
    written = [json.loads(line) for role in stores.roles for line in role.log.read_text().splitlines()]
    return [line for line in written if line["event"] == event and line["entry"] == NAME]


class TestOperator:
    def test_sees_all_of_them(self, operator: httpx.Client) -> None:
        """Also those that no beat has looked at yet."""
        shown = operator.get("/v1/schedules").json()["schedules"]
        assert [each["name"] for each in shown] == list(SCHEDULE)
        (first, *_), declared = shown, SCHEDULE[NAME]
        assert (first["task"], first["cron"], first["timezone"]) == (declared.task, declared.cron, declared.timezone)
        assert (first["next_at"], first["missed"], first["paused"], first["late"]) == (None, 0, False, False)

    def test_pauses_and_resumes(self, operator: httpx.Client, stores: Any) -> None:
        """Twice is once, and the log names who did it."""
        before = len(lines(stores, "schedule paused"))
        paused = operator.post(f"/v1/schedules/{NAME}/pause").json()
        assert (paused["paused"], paused["paused_by"], paused["next_at"]) == (True, "ops", None)
        assert operator.post(f"/v1/schedules/{NAME}/pause").json() == paused
        assert operator.get("/v1/schedules").json()["schedules"][0] == paused
        (said,) = lines(stores, "schedule paused")[before:]
        assert said["client"] == "ops"
        resumed = operator.post(f"/v1/schedules/{NAME}/resume").json()
        assert (resumed["paused"], resumed["paused_by"], resumed["paused_at"]) == (False, None, None)
        assert resumed["next_at"] is not None
        assert operator.post(f"/v1/schedules/{NAME}/resume").json() == resumed

    def test_fires_one_run_of_it(self, operator: httpx.Client, stores: Any) -> None:
        """Also of a paused one; while that has not ended there is no second, where overlaps are skipped."""
        operator.post(f"/v1/schedules/{NAME}/pause")
        fired = operator.post(f"/v1/schedules/{NAME}/fire")
        job = fired.json()
        assert (fired.status_code, fired.headers["Location"]) == (202, f"/v1/jobs/{job['id']}")
        assert (job["task"], job["client"]) == (SCHEDULE[NAME].task, "beat")
        assert [(event.event, event.by) for event in query.events(job["id"], None)] == [
            ("accepted", "beat"), ("fired", "ops"),
        ]  # fmt: skip
        assert lines(stores, "schedule fired")[-1]["job_id"] == job["id"]
        again = operator.post(f"/v1/schedules/{NAME}/fire")
        assert (again.status_code, again.json()["type"]) == (409, "urn:problem-type:wrong-state")
        assert job["id"] in again.json()["detail"]
        operator.post(f"/v1/jobs/{job['id']}/cancel")
        assert operator.post(f"/v1/schedules/{NAME}/fire").status_code == 202
        operator.post(f"/v1/jobs/{query.page('beat').jobs[0].id}/cancel")


CALLS = [("GET", ""), ("POST", f"/{NAME}/pause"), ("POST", f"/{NAME}/resume"), ("POST", f"/{NAME}/fire")]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_admin_nothing_is_seen_or_done(service: Any, anna: httpx.Client, method: str, path: str) -> None:
    """A stranger is none, and who may write jobs may not write these."""
    before = schedules.status(NAME), len(query.page("beat").jobs)
    refused = anna.request(method, f"/v1/schedules{path}")
    assert (refused.status_code, "jobs:admin" in refused.json()["detail"]) == (403, True)
    with service.caller() as stranger:
        assert stranger.request(method, f"/v1/schedules{path}").status_code == 401
    assert (schedules.status(NAME), len(query.page("beat").jobs)) == before


@pytest.mark.parametrize("verb", ["pause", "resume", "fire"])
def test_one_that_is_not_there(operator: httpx.Client, verb: str) -> None:
    """It is named, with those that are."""
    refused = operator.post(f"/v1/schedules/nothing/{verb}")
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:problem-type:unknown-schedule")
    assert NAME in refused.json()["detail"]
    assert operator.post(f"/v1/schedules/{'x' * 64}/{verb}").json()["field"] == "name"

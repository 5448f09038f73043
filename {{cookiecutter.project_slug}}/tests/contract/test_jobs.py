"""Submitting, watching and mending jobs over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import update

from service.database import transaction
from service.jobs import Job, State
from service.models.report import Report

Order = Callable[[], dict[str, Any]]
REPORT = {"title": "Q3", "rows": 1000}


def end(job_id: str, state: State) -> None:
    """Let a job end as if a worker had run it."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=state, ended_at=datetime.now(UTC)))


class TestSubmit:
    def test_is_accepted_while_the_broker_is_down(self, anna: httpx.Client) -> None:
        """A job is accepted with 202 and found at its Location, although nothing can ring for it."""
        accepted = anna.post("/v1/reports", json=REPORT)
        assert accepted.status_code == 202
        assert accepted.headers["location"] == f"/v1/jobs/{accepted.json()['id']}"
        shown = anna.get(accepted.headers["location"])
        assert shown.json()["state"] == "queued"
        assert shown.json()["client"] == "shop"

    def test_the_same_key_gives_the_same_job(self, anna: httpx.Client) -> None:
        """A request sent twice with one Idempotency-Key makes one job."""
        key = {"Idempotency-Key": str(uuid4())}
        first, second = (anna.post("/v1/reports", json=REPORT, headers=key) for _ in range(2))
        assert first.status_code == second.status_code == 202
        assert first.json()["id"] == second.json()["id"]

    def test_a_key_is_for_one_request(self, anna: httpx.Client) -> None:
        """Another body under a used key is refused, naming the header."""
        key = {"Idempotency-Key": str(uuid4())}
        anna.post("/v1/reports", json=REPORT, headers=key)
        refused = anna.post("/v1/reports", json={**REPORT, "rows": 2}, headers=key)
        assert refused.status_code == 422
        assert refused.json()["field"] == "Idempotency-Key"

    def test_keys_belong_to_their_client(self, anna: httpx.Client, bert: httpx.Client) -> None:
        """Two clients may use the same key."""
        key = {"Idempotency-Key": str(uuid4())}
        jobs = {caller.post("/v1/reports", json=REPORT, headers=key).json()["id"] for caller in (anna, bert)}
        assert len(jobs) == 2

    def test_later(self, anna: httpx.Client) -> None:
        """A job with run_at waits for its time, whatever zone that was given in."""
        job = anna.post("/v1/reports", json={**REPORT, "run_at": "2098-12-31T23:00:00-02:00"}).json()
        assert (job["waiting_for"], job["run_at"]) == ("time", "2099-01-01T01:00:00.000Z")

    def test_at_once(self, anna: httpx.Client) -> None:
        """A run_at that is past means now."""
        assert anna.post("/v1/reports", json={**REPORT, "run_at": "2001-01-01T00:00:00Z"}).json()["waiting_for"] is None

    def test_a_notification_to_a_private_address_is_refused(self, anna: httpx.Client) -> None:
        """An address that is neither public nor allowed is refused at once."""
        refused = anna.post("/v1/notifications", json={"url": "http://169.254.169.254/latest", "message": "hi"})
        assert (refused.status_code, refused.json()["field"]) == (422, "url")

    def test_a_notification_is_accepted(self, anna: httpx.Client) -> None:
        """An allowed address is accepted, on the fast queue."""
        accepted = anna.post("/v1/notifications", json={"url": "http://127.0.0.1:9/hook", "message": "hi"})
        assert (accepted.status_code, accepted.json()["queue"]) == (202, "fast")


class TestWatch:
    def test_retry_after_until_it_has_ended(self, anna: httpx.Client, report: Order) -> None:
        """A job that has not ended says when to ask again; one that has says nothing."""
        job = report()
        assert int(anna.get(f"/v1/jobs/{job['id']}").headers["retry-after"]) >= 1
        end(job["id"], State.SUCCEEDED)
        assert "retry-after" not in anna.get(f"/v1/jobs/{job['id']}").headers

    def test_events(self, anna: httpx.Client, report: Order) -> None:
        """The history begins with who asked for the job."""
        events = anna.get(f"/v1/jobs/{report()['id']}/events").json()["events"]
        assert [(event["event"], event["by"]) for event in events] == [("accepted", "shop")]

    def test_pages_neither_skip_nor_repeat(self, anna: httpx.Client, report: Order) -> None:
        """Following next_cursor shows each job once, while others are added."""
        wanted = [report()["id"] for _ in range(5)]
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2, "state": "queued", "task": "reports.export", "queue": "slow"}
        while not set(wanted) <= set(seen):
            page = anna.get("/v1/jobs", params=query).json()
            seen += [job["id"] for job in page["jobs"]]
            query["cursor"] = page["next_cursor"]
            report()
        assert len(seen) == len(set(seen))
        assert sorted(seen, reverse=True) == seen

    def test_a_report_is_there_once_it_is_made(self, anna: httpx.Client, report: Order) -> None:
        """The report is 404 before its job has made it, and CSV after."""
        job = report()
        assert anna.get(f"/v1/reports/{job['id']}").status_code == 404
        with transaction() as session:
            session.add(Report(job_id=job["id"], title="Q3", rows=1, csv="row,value\r\n1,ü\r\n"))
        made = anna.get(f"/v1/reports/{job['id']}")
        assert made.headers["content-type"] == "text/csv; charset=utf-8"
        assert made.text == "row,value\r\n1,ü\r\n"


class TestOwnership:
    def test_another_clients_job_does_not_exist(self, bert: httpx.Client, report: Order) -> None:
        """Whatever one asks of another client's job is 404, and changes nothing."""
        path = f"/v1/jobs/{report()['id']}"
        for suffix in ("", "/events"):
            assert bert.get(path + suffix).status_code == 404
        for verb in ("cancel", "retry", "discard"):
            assert bert.post(f"{path}/{verb}").status_code == 404
        assert bert.post(f"{path}/move", json={"queue": "fast"}).status_code == 404
        assert bert.get(path.replace("jobs", "reports")).status_code == 404

    def test_a_list_shows_ones_own(self, anna: httpx.Client, bert: httpx.Client, report: Order) -> None:
        """A list holds the caller's jobs only."""
        report()
        assert {job["client"] for job in anna.get("/v1/jobs").json()["jobs"]} == {"shop"}
        assert "shop" not in {job["client"] for job in bert.get("/v1/jobs").json()["jobs"]}

    def test_the_operator_sees_all(self, operator: httpx.Client, report: Order) -> None:
        """jobs:admin sees and changes everyone's jobs, under its own name."""
        path = f"/v1/jobs/{report()['id']}"
        assert operator.post(f"{path}/cancel").status_code == 200
        assert operator.get(f"{path}/events").json()["events"][-1]["by"] == "ops"


class TestMend:
    def test_cancel_retry_discard_move(self, anna: httpx.Client, report: Order) -> None:
        """Each verb does what it says from the states that allow it."""
        path = f"/v1/jobs/{report()['id']}"
        assert anna.post(f"{path}/move", json={"queue": "fast"}).json()["queue"] == "fast"
        assert anna.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert anna.post(f"{path}/retry").json()["state"] == "queued"
        end(path.rpartition("/")[2], State.FAILED)
        assert anna.post(f"{path}/discard").json()["state"] == "cancelled"

    def test_wrong_state(self, anna: httpx.Client, report: Order) -> None:
        """Anything else is 409."""
        path = f"/v1/jobs/{report()['id']}"
        assert [anna.post(f"{path}/{verb}").status_code for verb in ("retry", "discard")] == [409, 409]

    def test_an_unknown_queue(self, anna: httpx.Client, report: Order) -> None:
        """Moving to a queue that does not exist names the field."""
        refused = anna.post(f"/v1/jobs/{report()['id']}/move", json={"queue": "sloow"})
        assert refused.json()["field"] == "queue"


class TestQueues:
    def test_pause_and_resume(self, operator: httpx.Client, anna: httpx.Client, report: Order) -> None:
        """A paused queue says since when and by whom, and its jobs say what they wait for."""
        paused = operator.post("/v1/queues/slow/pause").json()
        assert (paused["paused"], paused["paused_by"]) == (True, "ops")
        assert anna.get(f"/v1/jobs/{report()['id']}").json()["waiting_for"] == "pause"
        assert operator.post("/v1/queues/slow/resume").json()["paused"] is False

    def test_every_queue_is_shown(self, anna: httpx.Client) -> None:
        """All queues of the policy are listed, used or not."""
        assert [queue["name"] for queue in anna.get("/v1/queues").json()["queues"]] == ["fast", "slow"]

    def test_an_unknown_queue(self, operator: httpx.Client) -> None:
        """A queue that does not exist is 404."""
        assert operator.post("/v1/queues/sloow/pause").status_code == 404

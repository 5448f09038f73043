"""Watching and mending jobs over HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import update

from service.database import transaction
from service.jobs import Job, State
from tests.contract.conftest import Make


def end(job_id: str, state: State) -> None:
    """Let a job end as if a worker had run it."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=state, ended_at=datetime.now(UTC)))


class TestWatch:
    def test_retry_after_until_it_has_ended(self, anna: httpx.Client, job: Make) -> None:
        """A job that has not ended says when to ask again; one that has says nothing."""
        job_id = job()
        assert int(anna.get(f"/v1/jobs/{job_id}").headers["retry-after"]) >= 1
        end(job_id, State.SUCCEEDED)
        assert "retry-after" not in anna.get(f"/v1/jobs/{job_id}").headers

    def test_events(self, anna: httpx.Client, job: Make) -> None:
        """The history begins with who asked for the job."""
        events = anna.get(f"/v1/jobs/{job()}/events").json()["events"]
        assert [(event["event"], event["by"]) for event in events] == [("accepted", "shop")]

    def test_pages_neither_skip_nor_repeat(self, anna: httpx.Client, job: Make) -> None:
        """Following next_cursor shows each job once, while others are added."""
        wanted = [job() for _ in range(5)]
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2, "state": "queued", "task": "trials.sleep", "queue": "slow"}
        while not set(wanted) <= set(seen):
            page = anna.get("/v1/jobs", params=query).json()
            seen += [entry["id"] for entry in page["jobs"]]
            query["cursor"] = page["next_cursor"]
            job()
        assert len(seen) == len(set(seen))
        assert sorted(seen, reverse=True) == seen


class TestOwnership:
    def test_another_clients_job_does_not_exist(self, bert: httpx.Client, job: Make) -> None:
        """Whatever one asks of another client's job is 404, and changes nothing."""
        path = f"/v1/jobs/{job()}"
        for suffix in ("", "/events"):
            assert bert.get(path + suffix).status_code == 404
        for verb in ("cancel", "retry", "discard"):
            assert bert.post(f"{path}/{verb}").status_code == 404
        assert bert.post(f"{path}/move", json={"queue": "fast"}).status_code == 404

    def test_a_list_shows_ones_own(self, anna: httpx.Client, bert: httpx.Client, job: Make) -> None:
        """A list holds the caller's jobs only."""
        job()
        assert {entry["client"] for entry in anna.get("/v1/jobs").json()["jobs"]} == {"shop"}
        assert "shop" not in {entry["client"] for entry in bert.get("/v1/jobs").json()["jobs"]}

    def test_the_operator_sees_all(self, operator: httpx.Client, job: Make) -> None:
        """jobs:admin sees and changes everyone's jobs, under its own name."""
        path = f"/v1/jobs/{job()}"
        assert operator.post(f"{path}/cancel").status_code == 200
        assert operator.get(f"{path}/events").json()["events"][-1]["by"] == "ops"


class TestMend:
    def test_cancel_retry_discard_move(self, anna: httpx.Client, job: Make) -> None:
        """Each verb does what it says from the states that allow it."""
        path = f"/v1/jobs/{job()}"
        assert anna.post(f"{path}/move", json={"queue": "fast"}).json()["queue"] == "fast"
        assert anna.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert anna.post(f"{path}/retry").json()["state"] == "queued"
        end(path.rpartition("/")[2], State.FAILED)
        assert anna.post(f"{path}/discard").json()["state"] == "cancelled"

    def test_wrong_state(self, anna: httpx.Client, job: Make) -> None:
        """Anything else is 409."""
        path = f"/v1/jobs/{job()}"
        assert [anna.post(f"{path}/{verb}").status_code for verb in ("retry", "discard")] == [409, 409]

    def test_an_unknown_queue(self, anna: httpx.Client, job: Make) -> None:
        """Moving to a queue that does not exist names the field."""
        refused = anna.post(f"/v1/jobs/{job()}/move", json={"queue": "sloow"})
        assert refused.json()["field"] == "queue"


class TestQueues:
    def test_pause_and_resume(self, operator: httpx.Client, anna: httpx.Client, job: Make) -> None:
        """A paused queue says since when and by whom, and its jobs say what they wait for."""
        paused = operator.post("/v1/queues/slow/pause").json()
        assert (paused["paused"], paused["paused_by"]) == (True, "ops")
        assert anna.get(f"/v1/jobs/{job()}").json()["waiting_for"] == "pause"
        assert operator.post("/v1/queues/slow/resume").json()["paused"] is False

    def test_every_queue_is_shown(self, anna: httpx.Client) -> None:
        """All queues of the policy are listed, used or not."""
        assert [queue["name"] for queue in anna.get("/v1/queues").json()["queues"]] == ["fast", "slow"]

    def test_an_unknown_queue(self, operator: httpx.Client) -> None:
        """A queue that does not exist is 404."""
        assert operator.post("/v1/queues/sloow/pause").status_code == 404

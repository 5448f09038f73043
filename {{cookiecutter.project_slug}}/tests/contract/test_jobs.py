"""Watching and mending jobs over HTTP."""

from datetime import UTC, datetime

import httpx
from sqlalchemy import update

from service.api.tokens import mint
from service.database import transaction
from service.jobs import Job, State
from service.queues import QUEUES
from tests.contract.conftest import Make, serving
from tests.support.door import PATH
from tests.support.stack import Stack


def end(job_id: str, state: State) -> None:
    """Let a job end as if a worker had run it."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=state, ended_at=datetime.now(UTC)))


def test_a_handler_hands_on_what_submit_takes(stores: Stack) -> None:
    """Both keys and the expiry are the job's; while one with the unique key waits, the answer is that job."""
    token, entry = mint("shop", ["jobs:write"], name="test")
    order = {"task": "trials.sleep", "arguments": {"seconds": 60}, "expires_at": "2099-01-01T00:00:00Z"}
    with serving(stores, API_TOKENS=entry, DOOR="open") as (url, _):
        caller = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"})
        answers = [caller.post(PATH, json={**order, "unique_key": key, "lock_key": "L 1"}) for key in ("a", "a", "b")]
    assert [each.status_code for each in answers] == [202] * 3
    first, again, other = (stores.job(each.json()["id"]) for each in answers)
    assert (first.id == again.id, first.id == other.id) == (True, False)
    assert (first.unique_key, other.unique_key, other.lock_key) == ("a", "b", "L 1")
    assert first.expires_at == datetime(2099, 1, 1, tzinfo=UTC)


class TestWatch:
    def test_events(self, anna: httpx.Client, job: Make) -> None:
        """The history begins with who asked for the job."""
        events = anna.get(f"/v1/jobs/{job()}/events").json()["events"]
        assert [(event["event"], event["by"]) for event in events] == [("accepted", "shop")]


class TestMend:
    def test_dead_letters_are_retried_by_task_and_error(
        self, anna: httpx.Client, operator: httpx.Client, job: Make
    ) -> None:
        """Of the failed jobs those of one task and error are queued again, and each says who did it."""
        same, other = [job(), job()], [job(), job()]
        for jobs, error in ((same, "ValueError"), (other, "KeyError")):
            with transaction() as session:
                failed = {"state": State.FAILED, "error_type": error, "crashes": 3, "ended_at": datetime.now(UTC)}
                session.execute(update(Job).where(Job.id.in_(jobs)).values(failed))
        about = {"task": "trials.sleep", "error": "ValueError"}
        assert anna.post("/v1/dead-letters/retry", json=about).status_code == 403
        assert operator.post("/v1/dead-letters/retry", json=about).json() == {"retried": 2}
        assert operator.post("/v1/dead-letters/retry", json=about).json() == {"retried": 0}
        for job_id in same:
            row = operator.get(f"/v1/jobs/{job_id}").json()
            assert (row["state"], row["error"], row["crashes"], row["ended_at"]) == ("queued", None, 0, None)
            last = operator.get(f"/v1/jobs/{job_id}/events").json()["events"][-1]
            assert (last["event"], last["by"]) == ("retried by hand", "ops")
        assert {anna.get(f"/v1/jobs/{job_id}").json()["state"] for job_id in other} == {"failed"}

    def test_where_a_running_job_is(self, anna: httpx.Client, operator: httpx.Client, job: Make) -> None:
        """An operator asks where a running job is, and the history says who asked."""
        path = f"/v1/jobs/{job()}"
        assert operator.post(f"{path}/stack").status_code == 409
        with transaction() as session:
            taken = {"state": State.RUNNING, "started_at": datetime.now(UTC)}
            session.execute(update(Job).where(Job.id == path[-36:]).values(taken))
        assert anna.post(f"{path}/stack").status_code == 403
        assert operator.post(f"{path}/stack").status_code == 200
        last = operator.get(f"{path}/events").json()["events"][-1]
        assert (last["event"], last["by"], last["message"]) == ("stack", "ops", None)
        with transaction() as session:
            session.execute(update(Job).where(Job.id == path[-36:]).values(state=State.CANCELLED))

    def test_cancel_retry_discard_move(self, anna: httpx.Client, operator: httpx.Client, job: Make) -> None:
        """Each verb does what it says from the states that allow it."""
        path = f"/v1/jobs/{job()}"
        assert operator.post(f"{path}/move", json={"queue": "fast"}).json()["queue"] == "fast"
        assert anna.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert anna.post(f"{path}/retry").json()["state"] == "queued"
        end(path.rpartition("/")[2], State.FAILED)
        assert anna.post(f"{path}/discard").json()["state"] == "cancelled"

    def test_wrong_state(self, anna: httpx.Client, job: Make) -> None:
        """Anything else is 409."""
        path = f"/v1/jobs/{job()}"
        assert [anna.post(f"{path}/{verb}").status_code for verb in ("retry", "discard")] == [409, 409]

    def test_which_queue_is_the_operators_affair(self, anna: httpx.Client, job: Make) -> None:
        """A client could put its slow jobs before everyone's fast ones."""
        assert anna.post(f"/v1/jobs/{job()}/move", json={"queue": "fast"}).status_code == 403

    def test_an_unknown_queue(self, operator: httpx.Client, job: Make) -> None:
        """Moving to a queue that does not exist names the field."""
        refused = operator.post(f"/v1/jobs/{job()}/move", json={"queue": "sloow"})
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
        assert [queue["name"] for queue in anna.get("/v1/queues").json()["queues"]] == [*QUEUES]

    def test_an_unknown_queue(self, operator: httpx.Client) -> None:
        """A queue that does not exist is 404."""
        assert operator.post("/v1/queues/sloow/pause").status_code == 404

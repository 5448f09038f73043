"""Batches over HTTP: how they stand, who may see them, and cancelling them as one."""

from typing import Any

import httpx
import pytest

from service.database import new_id
from service.jobs import State, attempts, operate, query
from service.jobs.shapes import batches
from tests.contract.conftest import Make


@pytest.fixture
def batch(job: Make) -> Make:
    """Make a batch of anna's client, which nobody will run; gives its id."""
    items, then = [{"seconds": 60.0}] * 3, ("trials.sleep", {"seconds": 1.0})
    return lambda: batches.submit("trials.sleep", items, then=then, client="shop")


def states(**counts: int) -> dict[str, int]:
    """The counts of a batch of which no more is to be told."""
    return {state.value: 0 for state in State} | counts


class TestShow:
    def test_how_it_stands(self, anna: httpx.Client, batch: Make) -> None:
        """All of it waits, and so does what follows."""
        made = batch()
        answer = anna.get(f"/v1/batches/{made}")
        expected = {"id": made, "jobs": 3, "states": states(queued=3), "ended": False, "follower": "queued"}
        assert (answer.status_code, answer.json(), answer.headers["Retry-After"]) == (200, expected, "1")
        follower = anna.get(f"/v1/jobs/{made}").json()
        assert (follower["waiting_for"], follower["batch_id"]) == ("batch", None)

    def test_an_id_in_capitals(self, anna: httpx.Client, batch: Make) -> None:
        """A UUID is one however it is written."""
        made = batch()
        assert anna.get(f"/v1/batches/{made.upper()}").json()["id"] == made
        assert len(anna.get("/v1/jobs", params={"batch_id": made.upper()}).json()["jobs"]) == 3

    def test_its_jobs_are_listed(self, anna: httpx.Client, bert: httpx.Client, batch: Make) -> None:
        """Those in a state, too; and another client's list has none."""
        made = batch()
        first = next(batches.results(made)).id
        operate.cancel(first, by="test", client=None)
        listed = anna.get("/v1/jobs", params={"batch_id": made, "state": "cancelled"}).json()["jobs"]
        assert [(row["id"], row["batch_id"]) for row in listed] == [(first, made)]
        assert bert.get("/v1/jobs", params={"batch_id": made}).json()["jobs"] == []

    @pytest.mark.parametrize("wrong", ["1", "x" * 36, "01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f0"])
    def test_what_is_no_id(self, anna: httpx.Client, wrong: str) -> None:
        """It is refused by name."""
        refused = anna.get(f"/v1/batches/{wrong}")
        assert (refused.status_code, refused.json()["field"]) == (400, "batch_id")

    def test_a_job_is_no_batch(self, anna: httpx.Client, job: Make) -> None:
        """Also not one's own."""
        refused = anna.get(f"/v1/batches/{job()}")
        assert (refused.status_code, refused.json()["type"]) == (404, "urn:problem-type:batch-not-found")


class TestCancel:
    def test_all_of_it_at_once(self, anna: httpx.Client, batch: Make) -> None:
        """What follows is cancelled, too, and nobody does it twice."""
        made = batch()
        expected = {"id": made, "jobs": 3, "states": states(cancelled=3), "ended": True, "follower": "cancelled"}
        answer = anna.post(f"/v1/batches/{made}/cancel")
        assert (answer.status_code, answer.json()) == (200, expected)
        assert "Retry-After" not in anna.get(f"/v1/batches/{made}").headers
        again = anna.post(f"/v1/batches/{made}/cancel")
        assert (again.status_code, again.json()["type"]) == (409, "urn:problem-type:wrong-state")
        events = [event.by for event in query.events(next(batches.results(made)).id, None)]
        assert events == ["shop", "shop"]

    def test_one_that_runs_is_asked_to_stop(self, operator: httpx.Client, batch: Make) -> None:
        """It stops when it looks."""
        made = batch()
        row = next(batches.results(made))
        attempts.claim(row.id, row.task, queue=row.queue, worker="test", pid=1, hard_limit=60)
        answer = operator.post(f"/v1/batches/{made}/cancel").json()
        assert (answer["states"], answer["ended"]) == (states(running=1, cancelled=2), False)
        assert operator.get(f"/v1/jobs/{row.id}").json()["cancel_requested"] is True
        attempts.cancel(query.get(row.id, None))

    def test_needs_a_token_that_may_write(self, service: Any, batch: Make) -> None:
        """One that reads may not."""
        made = batch()
        with service.caller("reader") as reader, service.caller() as stranger:
            assert reader.get(f"/v1/batches/{made}").status_code == 200
            assert reader.post(f"/v1/batches/{made}/cancel").status_code == 403
            assert stranger.get(f"/v1/batches/{made}").status_code == 401


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel")])
def test_anothers_batch_is_one_that_never_was(
    anna: httpx.Client, bert: httpx.Client, batch: Make, method: str, path: str
) -> None:
    """Both are 404 in the same words, and nothing of the batch has changed."""
    made = batch()
    before = anna.get(f"/v1/batches/{made}").json()
    refused, unknown = (bert.request(method, f"/v1/batches/{id_}{path}") for id_ in (made, new_id()))
    assert refused.status_code == unknown.status_code == 404
    assert {**refused.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert anna.get(f"/v1/batches/{made}").json() == before

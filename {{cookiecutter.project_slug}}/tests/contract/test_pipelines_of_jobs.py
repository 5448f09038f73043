"""Pipelines over HTTP: how they stand, who may see them, and cancelling and retrying them as one."""

from typing import Any

import httpx
import pytest

from service.database import new_id
from service.jobs import attempts, query
from service.jobs.attempts import Failure
from service.jobs.shapes import pipelines
from tests.contract.conftest import Make


@pytest.fixture
def pipeline(job: Make) -> Make:
    """Make a pipeline of anna's client, which nobody will run; gives its id."""
    steps = [("trials.sleep", {"seconds": 60.0}), ("trials.sleep", {"seconds": 1.0})]
    return lambda: pipelines.submit(steps, client="shop")


def fail(made: str) -> None:
    """Let the job fail as it would on a worker."""
    row = attempts.claim(made, "trials.sleep", queue="slow", worker="test", pid=1, hard_limit=60)
    assert row is not None
    attempts.fail(row, Failure("ValueError", "the data are wrong"))


class TestShow:
    def test_how_it_stands(self, anna: httpx.Client, pipeline: Make) -> None:
        """One waits, and the other one's turn has not come."""
        made = pipeline()
        answer = anna.get(f"/v1/pipelines/{made}")
        told = answer.json()
        first, second = told.pop("steps")
        assert (answer.status_code, answer.headers["Retry-After"]) == (200, "1")
        assert told == {"id": made, "client": "shop", "state": "queued", "ended": False}
        common = {"task": "trials.sleep", "queue": "slow", "attempt": 0, "error": None}
        assert first == {"id": made, "state": "queued", **common}
        assert second == {"id": second["id"], "state": None, **common}
        assert anna.get(f"/v1/jobs/{made}").json()["pipeline_id"] == made
        assert anna.get(f"/v1/jobs/{second['id']}").status_code == 404

    def test_an_id_in_capitals(self, anna: httpx.Client, pipeline: Make) -> None:
        """A UUID is one however it is written."""
        made = pipeline()
        assert anna.get(f"/v1/pipelines/{made.upper()}").json()["id"] == made

    @pytest.mark.parametrize("wrong", ["1", "x" * 36, "01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f0"])
    def test_what_is_no_id(self, anna: httpx.Client, wrong: str) -> None:
        """It is refused by name."""
        refused = anna.get(f"/v1/pipelines/{wrong}")
        assert (refused.status_code, refused.json()["field"]) == (400, "pipeline_id")

    def test_a_job_is_no_pipeline(self, anna: httpx.Client, job: Make) -> None:
        """Also not one's own."""
        refused = anna.get(f"/v1/pipelines/{job()}")
        assert (refused.status_code, refused.json()["type"]) == (404, "urn:problem-type:pipeline-not-found")


class TestActs:
    def test_cancelled_as_one(self, anna: httpx.Client, pipeline: Make) -> None:
        """Nobody does it twice."""
        made = pipeline()
        answer = anna.post(f"/v1/pipelines/{made}/cancel")
        assert (answer.status_code, answer.json()["state"], answer.json()["ended"]) == (200, "cancelled", True)
        assert [step["state"] for step in answer.json()["steps"]] == ["cancelled", None]
        assert "Retry-After" not in anna.get(f"/v1/pipelines/{made}").headers
        again = anna.post(f"/v1/pipelines/{made}/cancel")
        assert (again.status_code, again.json()["type"]) == (409, "urn:problem-type:wrong-state")
        assert [event.by for event in query.events(made, None)] == ["shop", "shop"]

    def test_retried_from_where_it_failed(self, anna: httpx.Client, pipeline: Make) -> None:
        """Once it has failed, and not before."""
        made = pipeline()
        assert anna.post(f"/v1/pipelines/{made}/retry").status_code == 409
        fail(made)
        told = anna.get(f"/v1/pipelines/{made}").json()
        assert (told["state"], told["ended"], told["steps"][0]["error"]) == ("failed", True, "ValueError")
        told = anna.post(f"/v1/pipelines/{made}/retry").json()
        assert (told["state"], told["ended"], told["steps"][0]["error"]) == ("queued", False, None)

    def test_needs_a_token_that_may_write(self, service: Any, pipeline: Make) -> None:
        """One that reads may not."""
        made = pipeline()
        with service.caller("reader") as reader, service.caller() as stranger:
            assert reader.get(f"/v1/pipelines/{made}").status_code == 200
            assert stranger.get(f"/v1/pipelines/{made}").status_code == 401
            for act in ("cancel", "retry"):
                assert reader.post(f"/v1/pipelines/{made}/{act}").status_code == 403


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel"), ("POST", "/retry")])
def test_anothers_pipeline_is_one_that_never_was(
    anna: httpx.Client, bert: httpx.Client, pipeline: Make, method: str, path: str
) -> None:
    """Both are 404 in the same words, and nothing of the pipeline has changed."""
    made = pipeline()
    before = anna.get(f"/v1/pipelines/{made}").json()
    refused, unknown = (bert.request(method, f"/v1/pipelines/{id_}{path}") for id_ in (made, new_id()))
    assert refused.status_code == unknown.status_code == 404
    assert {**refused.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert anna.get(f"/v1/pipelines/{made}").json() == before

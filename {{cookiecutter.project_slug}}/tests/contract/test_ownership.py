"""Ownership: another client's job does not exist, whatever one asks of it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.api.contract import operations
from service.database import new_id
from service.jobs import query
from tests.contract.conformance import SPECIFICATION
from tests.contract.conftest import Make


def of_a_job() -> Iterator[Any]:
    """Every operation whose path has a job's id, but those that are the operator's alone."""
    for path, method, operation in operations():
        if "{job_id}" in path and operation["x-scope"] != "jobs:admin":
            yield pytest.param(path, method, id=operation["operationId"])


def ask(client: httpx.Client, path: str, method: str, job_id: str) -> httpx.Response:
    """Send the operation with a good body, where it takes one."""
    body = SPECIFICATION["paths"][path][method].get("requestBody")
    content = body and body["content"]["application/json"]["schema"]["example"]
    return client.request(method, path.format(job_id=job_id), json=content)


@pytest.mark.parametrize(("path", "method"), list(of_a_job()))
def test_anothers_job_is_one_that_never_was(bert: httpx.Client, job: Make, path: str, method: str) -> None:
    """Both are 404 in the same words, and nothing of the job has changed."""
    theirs = job()
    before, history = query.get(theirs, None), query.events(theirs, None)
    refused, unknown = (ask(bert, path, method, job_id) for job_id in (theirs, new_id()))
    assert refused.status_code == unknown.status_code == 404
    without_id = [{**answer.json(), "request_id": ""} for answer in (refused, unknown)]
    assert without_id[0] == without_id[1]
    after = query.get(theirs, None)
    assert {name: getattr(after, name) for name in before.__table__.columns.keys()} == {  # noqa: SIM118
        name: getattr(before, name)
        for name in before.__table__.columns.keys()  # noqa: SIM118
    }
    assert len(query.events(theirs, None)) == len(history)


@pytest.mark.parametrize(("path", "method"), list(of_a_job()))
def test_the_operator_sees_all(operator: httpx.Client, job: Make, path: str, method: str) -> None:
    """With jobs:admin the job is there; what it can do now is another matter."""
    answer = ask(operator, path, method, job())
    assert answer.status_code in {200, 404, 409}
    if answer.status_code == 404:
        assert answer.json()["type"] != "urn:problem-type:job-not-found"


def test_what_the_operator_does_bears_its_name(operator: httpx.Client, job: Make) -> None:
    """A client can see who cancelled its job."""
    path = f"/v1/jobs/{job()}"
    assert operator.post(f"{path}/cancel").status_code == 200
    assert operator.get(f"{path}/events").json()["events"][-1]["by"] == "ops"


def test_a_list_shows_ones_own(anna: httpx.Client, bert: httpx.Client, operator: httpx.Client, job: Make) -> None:
    """A list holds the caller's jobs only, and the operator's holds everyone's."""
    theirs = job()
    listed = [{entry["id"] for entry in client.get("/v1/jobs").json()["jobs"]} for client in (anna, bert, operator)]
    assert [theirs in ids for ids in listed] == [True, False, True]
    assert {entry["client"] for entry in anna.get("/v1/jobs").json()["jobs"]} == {"shop"}

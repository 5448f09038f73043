"""Idempotency: however often and however fast a request is sent, its key makes one job."""

import http.client
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, update

from local.example import example
from service.database import standalone, transaction
from service.jobs import Job, State
from service.jobs.operate import purge
from tests.contract.conftest import Service

RACERS = 50

ORDER = example()
pytestmark = pytest.mark.skipif(ORDER is None, reason="the service takes no order yet")


def order(client: httpx.Client, key: str, **changes: Any) -> httpx.Response:
    """Send the contract's example under a key."""
    assert ORDER
    return client.post(ORDER.path, json={**ORDER.body, **changes}, headers={"Idempotency-Key": key})


def made_with(key: str) -> int:
    """How many jobs have the key."""
    with standalone() as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.idempotency_key == key)) or 0


def test_a_race_of_equal_requests_makes_one_job(service: Service) -> None:
    """Fifty requests that are sent at the same moment, each on a connection of its own, get the same job and 202."""
    assert ORDER
    url, key = httpx.URL(service.url), str(uuid4())
    headers = {
        "Authorization": f"Bearer {service.tokens['anna']}",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    body, start, answers = json.dumps(dict(ORDER.body)), threading.Barrier(RACERS), list[tuple[int, str]]()

    def race() -> None:
        connection = http.client.HTTPConnection(url.host, url.port, timeout=30)
        connection.connect()
        start.wait()
        connection.request("POST", ORDER.path, body, headers)
        answer = connection.getresponse()
        answers.append((answer.status, json.loads(answer.read()).get("id")))
        connection.close()

    racers = [threading.Thread(target=race) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(answers) == RACERS
    assert {status for status, _ in answers} == {202}
    assert len({job_id for _, job_id in answers}) == made_with(key) == 1


@pytest.mark.parametrize("state", State)
def test_the_answer_is_202_whatever_became_of_the_job(anna: httpx.Client, state: State) -> None:
    """A request that is sent again late gets the job as it stands by then."""
    key = str(uuid4())
    first = order(anna, key).json()
    with transaction() as session:
        session.execute(update(Job).where(Job.id == first["id"]).values(state=state, run_at=datetime.now(UTC)))
    again = order(anna, key)
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (202, first["id"], state)
    assert again.headers["location"] == f"/v1/jobs/{first['id']}"


def test_the_same_body_in_other_words(anna: httpx.Client) -> None:
    """Order and spaces of the JSON make no other request of it."""
    assert ORDER
    key = str(uuid4())
    first = order(anna, key).json()["id"]
    turned = json.dumps(dict(reversed(list(ORDER.body.items()))), indent=4)
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    assert anna.post(ORDER.path, content=turned, headers=headers).json()["id"] == first


def test_a_refused_request_uses_up_no_key(anna: httpx.Client) -> None:
    """After a 400 the key is free for the request as it was meant."""
    key = str(uuid4())
    assert order(anna, key, colour="red").status_code == 400
    assert order(anna, key).status_code == 202


def test_keys_in_quotes(anna: httpx.Client) -> None:
    """What the IETF's draft writes in quotes is the same key as without; quote and backslash are escaped there."""
    key = str(uuid4())
    assert order(anna, key).json()["id"] == order(anna, f'"{key}"').json()["id"]
    escaped = order(anna, f'"{key} \\"a\\\\b\\""').json()["id"]
    assert escaped == order(anna, f'{key} "a\\b"').json()["id"]
    assert made_with(f'{key} "a\\b"') == 1


@pytest.mark.parametrize("key", ["", '""', '"', '"open', '"a"b"', '"a\\b"', '"a";q=1', "k" * 256, "a\tb", "\xe4"])
def test_keys_that_are_none(anna: httpx.Client, key: str) -> None:
    """What begins with a quote is well formed, or refused by the header's name."""
    assert ORDER
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    refused = anna.post(ORDER.path, json=dict(ORDER.body), headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (400, "Idempotency-Key")


def test_two_keys(anna: httpx.Client) -> None:
    """A request with two keys, equal ones too, is refused: nobody knows which one counts."""
    assert ORDER
    for keys in (("a", "b"), ("a", "a")):
        headers = [("Idempotency-Key", key) for key in keys]
        refused = anna.post(ORDER.path, json=dict(ORDER.body), headers=headers)
        assert (refused.status_code, refused.json()["field"]) == (400, "Idempotency-Key")


def test_a_key_is_kept_for_a_day(anna: httpx.Client) -> None:
    """With the shortest retention there is, a job that ended within a day keeps its key, and one before that goes."""
    keys = {hours: str(uuid4()) for hours in (1, 23, 25)}
    ids = {hours: order(anna, key).json()["id"] for hours, key in keys.items()}
    for hours, job_id in ids.items():
        ended = datetime.now(UTC) - timedelta(hours=hours)
        with transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=State.SUCCEEDED, ended_at=ended))
    purge(1)
    assert [made_with(key) for key in keys.values()] == [1, 1, 0]
    assert order(anna, keys[23]).json()["id"] == ids[23]

"""Bad requests: each is refused with a problem, changes nothing, and leaves the connection usable."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from service.database import standalone
from service.jobs.model import Event, Job, PausedQueue
from tests.contract.conftest import Make, Service

JOB = "/v1/jobs/01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f"
MOVE = f"{JOB}/move"
JSON = {"Content-Type": "application/json"}


def move(**changes: Any) -> bytes:
    """A body for MOVE, which every service has."""
    return json.dumps({"queue": "fast", **changes}).encode()


BODIES = {
    "broken JSON": (b'{"queue": "fast"', "body"),
    "no JSON at all": (b"queue=fast", "body"),
    "an empty body": (b"", "body"),
    "null": (b"null", "body"),
    "a list": (b"[]", "body"),
    "a missing field": (b"{}", "queue"),
    "an unknown field": (move(colour="red"), "colour"),
    "a wrong type": (move(queue=10), "queue"),
    "NaN": (b'{"queue": NaN}', "body"),
    "Infinity": (b'{"queue": -Infinity}', "body"),
    "more than 64 bits": (move(queue=2**70), "queue"),
    "a number of 10,000 digits": (b'{"queue": 1' + b"0" * 10_000 + b"}", "body"),
    "an exponent out of range": (b'{"queue": 1e999}', "queue"),
    "a key twice": (b'{"queue": "fast", "queue": "slow"}', "queue"),
    "an empty text": (move(queue=""), "queue"),
    "a long text": (move(queue="q" * 64), "queue"),
    "a null byte": (move(queue="a\0b"), "queue"),
    "half a character": (move(queue="\ud800"), "queue"),
    "other bytes than UTF-8": (b'{"queue": "\xff"}', "body"),
    "UTF-16": ('{"queue": "fast"}'.encode("utf-16"), "body"),
    "deep nesting": (b"[" * 100_000, "body"),
    "deep nesting that ends": (b'{"queue": ' + b"[" * 900 + b"]" * 900 + b"}", "body"),
    "a level too many": (b'{"queue": ' + b"[" * 32 + b"]" * 32 + b"}", "body"),
    "as many levels as there may be": (b'{"queue": ' + b"[" * 30 + b"]" * 30 + b"}", "queue"),
}

QUERIES = {
    "page=2": "page",
    "limit=0": "limit",
    "limit=201": "limit",
    "limit=ten": "limit",
    "limit=1_0": "limit",
    "limit=%D9%A3": "limit",
    "limit=": "limit",
    "limit=1&limit=2": "limit",
    f"limit={10**30}": "limit",
    "state=quued": "state",
    "state=queued%00": "state",
    "task=a%00b": "task",
    "queue=%27%20OR%201=1": "queue",
    "cursor=nonsense": "cursor",
    "cursor=%00": "cursor",
    "%ff=1": "�",
}

PATHS = {
    ("GET", "/v1/jobs/17"): 400,
    ("GET", "/v1/jobs/{01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f}"): 400,
    ("GET", "/v1/jobs/%00"): 404,
    ("GET", "/v1/jobs%0a"): 404,
    ("GET", "//v1/jobs"): 404,
    ("GET", "/v1//jobs"): 404,
    ("GET", JOB): 404,
    ("GET", f"{JOB}/"): 404,
    ("GET", f"{JOB}/secrets"): 404,
    ("GET", "/v1/jobs/..%2f..%2fetc%2fpasswd"): 404,
    ("GET", "/"): 404,
    ("GET", "/openapi.yml"): 404,
    ("DELETE", JOB): 405,
    ("PUT", "/v1/queues"): 405,
    ("GET", MOVE): 405,
    ("POST", f"/v1/queues/{'q' * 64}/pause"): 400,
    ("POST", "/v1/queues/FAST/pause"): 400,
}


def stored() -> list[int]:
    """How many rows a caller's request could have made."""
    with standalone() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in (Job, Event, PausedQueue)]


@pytest.fixture
def usable(service: Service) -> Iterator[httpx.Client]:
    """A caller whose one connection must still work when the test is over, and who has left nothing behind."""
    before = stored()
    connections = set()
    with service.caller("operator") as client:
        client.event_hooks["response"].append(
            lambda answer: connections.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
        )
        yield client
        assert client.get("/health/live").status_code == 200
    assert len(connections) == 1
    assert stored() == before


def refused(answer: httpx.Response, status: int, field: str | None) -> None:
    """Hold a refusal against what is expected; its words tell nothing about the inside and repeat little."""
    assert answer.status_code == status, answer.text
    assert answer.json().get("field") == field
    assert len(answer.text) < 500
    for inside in ("Traceback", "jsonschema", "Failed validating", "sqlite", "/service/"):
        assert inside not in answer.text


@pytest.mark.parametrize(("body", "field"), BODIES.values(), ids=BODIES)
def test_body(usable: httpx.Client, body: bytes, field: str) -> None:
    """A body that is not as described is 4xx and names the field."""
    refused(usable.post(MOVE, content=body, headers=JSON), 400, field)


@pytest.mark.parametrize(("query", "field"), QUERIES.items(), ids=QUERIES)
def test_query(usable: httpx.Client, query: str, field: str) -> None:
    """Unknown, repeated and wrong parameters are refused by name."""
    refused(usable.get(f"/v1/jobs?{query}"), 400, field)


@pytest.mark.parametrize(("request_line", "status"), PATHS.items(), ids=[" ".join(line) for line in PATHS])
def test_path(usable: httpx.Client, request_line: tuple[str, str], status: int) -> None:
    """Paths that are wrong or lead nowhere are told apart."""
    method, path = request_line
    # As a whole address, since httpx would tidy up the path otherwise.
    answer = usable.request(method, f"{str(usable.base_url).rstrip('/')}{path}")
    assert answer.status_code == status
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonx",
        "*/*",
        ";",
        None,
    ],
)
def test_content_type(usable: httpx.Client, content_type: str | None) -> None:
    """Only JSON is read, and a body without a type is not guessed at."""
    headers = {"Content-Type": content_type} if content_type else {}
    refused(usable.post(MOVE, content=move(), headers=headers), 415, None)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON", "application/json; charset=UTF-8"])
def test_content_type_in_other_words(usable: httpx.Client, content_type: str) -> None:
    """JSON is validated however its type is spelt."""
    refused(usable.post(MOVE, content=move(queue=""), headers={"Content-Type": content_type}), 400, "queue")


def test_ten_megabytes(service: Service) -> None:
    """A body over 128 KiB is refused by its announced length, without being read."""
    with service.caller("operator") as operator:
        refused(operator.post(MOVE, content=move(queue="x" * 10**7), headers=JSON), 413, None)
        assert operator.get("/health/live").status_code == 200


def test_a_good_body_in_chunks(operator: httpx.Client, job: Make) -> None:
    """A body in chunks is as good as any other."""
    chunks = iter([move()[:5], move()[5:]])
    assert operator.post(f"/v1/jobs/{job()}/move", content=chunks, headers=JSON).json()["queue"] == "fast"


def test_refused_before_it_is_read(service: Service) -> None:
    """Without a token the body does not matter, however large."""
    with service.caller() as stranger:
        assert stranger.post(MOVE, content=b" " * 2**21, headers=JSON).status_code == 401


def test_nothing_is_echoed(usable: httpx.Client) -> None:
    """A secret in the wrong place does not come back."""
    secret = "s3cret-" * 20
    for answer in (
        usable.post(MOVE, content=move(queue=secret), headers=JSON),
        usable.post(MOVE, content=move(**{secret: 1}), headers=JSON),
        usable.get("/v1/jobs", params={"state": secret}),
        usable.get("/v1/jobs", params={secret: "1"}),
        usable.get(f"/v1/jobs/{secret}"),
    ):
        assert answer.status_code == 400
        assert secret not in answer.text

"""Bad requests: each is refused with a problem, changes nothing, and leaves the connection usable."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.conftest import Service

JOB = "/v1/jobs/01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f"
JSON = {"Content-Type": "application/json"}


def report(**changes: Any) -> bytes:
    """A body for POST /v1/reports."""
    return json.dumps({"title": "Q3", "rows": 10, **changes}).encode()


def notification(**changes: Any) -> bytes:
    """A body for POST /v1/notifications."""
    return json.dumps({"url": "http://127.0.0.1:9/", "message": "hi", **changes}).encode()


BODIES = {
    "broken JSON": (b'{"title": "Q3"', "body"),
    "no JSON at all": (b"title=Q3", "body"),
    "an empty body": (b"", None),
    "null": (b"null", "body"),
    "a list": (b"[]", "body"),
    "a missing field": (b'{"title": "Q3"}', "rows"),
    "an unknown field": (report(colour="red"), "colour"),
    "a wrong type": (report(rows="10"), "rows"),
    "a boolean for a number": (report(rows=True), "rows"),
    "a fraction": (b'{"title": "Q3", "rows": 1.5}', "rows"),
    "NaN": (b'{"title": "Q3", "rows": NaN}', "body"),
    "Infinity": (b'{"title": "Q3", "rows": -Infinity}', "body"),
    "a number too large": (report(rows=10**6 + 1), "rows"),
    "more than 64 bits": (report(rows=2**70), "rows"),
    "a number of 10,000 digits": (b'{"title": "Q3", "rows": 1' + b"0" * 10_000 + b"}", "body"),
    "an exponent out of range": (b'{"title": "Q3", "rows": 1e999}', "rows"),
    "a key twice": (b'{"title": "Q3", "rows": 1, "rows": 2}', "rows"),
    "an empty text": (report(title=""), "title"),
    "a long text": (report(title="x" * 201), "title"),
    "a null byte": (report(title="a\0b"), "title"),
    "half a character": (b'{"title": "\\ud800", "rows": 1}', "title"),
    "other bytes than UTF-8": (b'{"title": "\xff", "rows": 1}', "body"),
    "UTF-16": ('{"title": "Q3", "rows": 1}'.encode("utf-16"), "body"),
    "deep nesting": (b"[" * 100_000, "body"),
    "deep nesting that ends": (b'{"title": ' + b"[" * 900 + b"]" * 900 + b', "rows": 1}', "title"),
    "a time without its zone": (report(run_at="2030-01-31T09:30:00"), "run_at"),
    "a day without time": (report(run_at="2030-01-31"), "run_at"),
    "a day that does not exist": (report(run_at="2030-02-30T09:30:00Z"), "run_at"),
    "another century": (report(run_at="2130-01-31T09:30:00Z"), "run_at"),
    "the end of the calendar": (report(run_at="9999-12-31T23:59:59-23:59"), "run_at"),
    "an epoch": (report(run_at=1900000000), "run_at"),
}
URLS = [
    "hook",
    "ftp://example.com/",
    "http://",
    "http:///path",
    "http://a b/",
    "http://h:99999/",
    "http://[::1",
    "//h/",
]

QUERIES = {
    "page=2": "page",
    "limit=0": "limit",
    "limit=201": "limit",
    "limit=ten": "limit",
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
    ("PUT", "/v1/reports"): 405,
    ("GET", "/v1/reports"): 405,
    ("POST", f"/v1/queues/{'q' * 64}/pause"): 400,
    ("POST", "/v1/queues/FAST/pause"): 400,
}


@pytest.fixture
def usable(service: Service) -> Iterator[httpx.Client]:
    """A caller whose one connection must still work when the test is over."""
    with service.caller("operator") as client:
        yield client
        assert client.get("/health/live").status_code == 200


def refused(answer: httpx.Response, status: int, field: str | None) -> None:
    """Hold a refusal against what is expected; its words tell nothing about the inside and repeat little."""
    assert answer.status_code == status, answer.text
    assert answer.json().get("field") == field
    assert len(answer.text) < 500
    for inside in ("Traceback", "jsonschema", "Failed validating", "sqlite", "/service/"):
        assert inside not in answer.text


@pytest.mark.parametrize(("body", "field"), BODIES.values(), ids=BODIES)
def test_body(usable: httpx.Client, body: bytes, field: str | None) -> None:
    """A body that is not as described is 4xx and names the field."""
    answer = usable.post("/v1/reports", content=body, headers=JSON)
    refused(answer, 400, field or "body")


@pytest.mark.parametrize("url", URLS)
def test_url(usable: httpx.Client, url: str) -> None:
    """A URL that is none is refused before anybody looks up its host."""
    answer = usable.post("/v1/notifications", content=notification(url=url), headers=JSON)
    refused(answer, 400, "url")


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
    refused(usable.post("/v1/reports", content=report(), headers=headers), 415, None)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON", "application/json; charset=UTF-8"])
def test_content_type_in_other_words(usable: httpx.Client, content_type: str) -> None:
    """JSON is validated however its type is spelt."""
    refused(usable.post("/v1/reports", content=report(rows=0), headers={"Content-Type": content_type}), 400, "rows")


@pytest.mark.parametrize("key", [b"", b"k" * 256, b"k\tk", "schlüssel".encode()])
def test_idempotency_key(usable: httpx.Client, key: bytes) -> None:
    """A key is 1 to 255 printable characters."""
    headers = {b"Content-Type": b"application/json", b"Idempotency-Key": key}
    answer = usable.post("/v1/reports", content=report(), headers=headers)
    refused(answer, 400, "Idempotency-Key")


def test_two_megabytes(usable: httpx.Client) -> None:
    """A body over 1 MiB is refused by its announced length."""
    refused(usable.post("/v1/reports", content=report(title="x" * 2**21), headers=JSON), 413, None)


def test_two_megabytes_in_chunks(usable: httpx.Client) -> None:
    """A body over 1 MiB is refused although it does not say how long it is."""
    chunks = (b" " * 2**16 for _ in range(32))
    refused(usable.post("/v1/reports", content=chunks, headers=JSON), 413, None)


def test_a_good_body_in_chunks(usable: httpx.Client) -> None:
    """A body in chunks is as good as any other."""
    assert usable.post("/v1/reports", content=iter([report()[:5], report()[5:]]), headers=JSON).status_code == 202


def test_refused_before_it_is_read(service: Service) -> None:
    """Without a token the body does not matter, however large."""
    with service.caller() as stranger:
        assert stranger.post("/v1/reports", content=b" " * 2**21, headers=JSON).status_code == 401


def test_nothing_is_echoed(usable: httpx.Client) -> None:
    """A secret in the wrong place does not come back."""
    secret = "s3cret-" * 20
    for answer in (
        usable.post("/v1/reports", content=report(rows=secret), headers=JSON),
        usable.post("/v1/reports", content=report(**{secret: 1}), headers=JSON),
        usable.get("/v1/jobs", params={"state": secret}),
        usable.get("/v1/jobs", params={secret: "1"}),
        usable.get(f"/v1/jobs/{secret}"),
    ):
        assert answer.status_code == 400
        assert secret not in answer.text

"""Bad requests that no client library would send, written to a raw connection.

Each is 4xx in a problem that repeats no secret; the connection is usable afterwards, unless HTTP is broken on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.contract.conftest import Service
from tests.contract.test_refusals import JOB, MOVE, move, stored
from tests.contract.wire import Sent, Wire

LENGTH = f"Content-Length: {len(move())}"
LONG_LENGTH = f"Content-Length: {len(move()):05000}"
JSON = "Content-Type: application/json"


@dataclass(frozen=True)
class Bad:
    """A request, and what is said of it; `{token}` stands for a good token, `{bearer}` for the whole header."""

    line: str
    status: int
    headers: tuple[str, ...] = ("{bearer}",)
    body: bytes = b""
    field: str | None = None


TOKENS = {
    "no token": Bad("GET /v1/jobs", 401, ()),
    "another scheme": Bad("GET /v1/jobs", 401, ("Authorization: Basic {token}",)),
    "an unknown scheme": Bad("GET /v1/jobs", 401, ("Authorization: Token {token}",)),
    "no scheme": Bad("GET /v1/jobs", 401, ("Authorization: {token}",)),
    "a space in it": Bad("GET /v1/jobs", 401, ("Authorization: Bearer {token} x",)),
    "a comma after it": Bad("GET /v1/jobs", 401, ("Authorization: Bearer {token},",)),
    "quotes around it": Bad("GET /v1/jobs", 401, ('Authorization: Bearer "{token}"',)),
    "other bytes after it": Bad("GET /v1/jobs", 401, ("Authorization: Bearer {token}\xff",)),
    "twice": Bad("GET /v1/jobs", 400, ("{bearer}", "{bearer}"), field="Authorization"),
    "twice in one line": Bad("GET /v1/jobs", 401, ("{bearer}, Bearer {token}",)),
    "a wrong one after it": Bad("GET /v1/jobs", 400, ("{bearer}", "Authorization: Bearer x"), field="Authorization"),
    "a wrong one before it": Bad("GET /v1/jobs", 400, ("Authorization: Bearer x", "{bearer}"), field="Authorization"),
    "in the query": Bad("GET /v1/jobs?access_token={token}", 401, ()),
    "in the query too": Bad("GET /v1/jobs?access_token={token}", 400, field="access_token"),
    "in a cookie": Bad("GET /v1/jobs", 401, ("Cookie: Authorization=Bearer {token}; token={token}",)),
    "in another header": Bad("GET /v1/jobs", 401, ("X-Authorization: Bearer {token}", "Proxy-{bearer}")),
}

PATHS = {
    "up": Bad("GET /v1/jobs/../../etc/passwd", 404),
    "up, encoded": Bad("GET /v1/jobs/%2e%2e/%2e%2e/etc/passwd", 404),
    "up, encoded with its slash": Bad("GET /v1/jobs/..%2fqueues", 404),
    "up, encoded twice": Bad("GET /v1/jobs/%252e%252e%252fqueues", 400, field="job_id"),
    "up, with backslashes": Bad("GET /v1/jobs/..\\..\\etc", 400, field="job_id"),
    "up, in UTF-8 that is too long": Bad("GET /v1/jobs/%c0%ae%c0%ae", 400, field="job_id"),
    "a parameter of a path": Bad("GET /v1/jobs;x=1", 404),
    "a null byte": Bad("GET /v1/jobs/%00", 404),
    "a line's end": Bad("GET /v1/jobs/%0d%0aX-Injected:%201", 404),
    "another host's": Bad("GET http://127.0.0.1:1/etc/passwd", 404),
    "no path": Bad("GET *", 404),
    "a query of thousands of fields": Bad("GET /v1/jobs?" + "%&" * 2000, 400, field="query"),
    "a query that encodes nothing": Bad("GET /v1/jobs?state=%", 400, field="query"),
}

METHODS = {
    "unknown here": Bad("DELETE " + JOB, 405),
    "PATCH": Bad("PATCH /v1/jobs", 405),
    "TRACE": Bad("TRACE /v1/jobs", 405, ("{bearer}", "X-Secret: hunter2")),
    "OPTIONS": Bad("OPTIONS /v1/jobs", 405, ("Origin: https://evil.example", "Access-Control-Request-Method: GET")),
    "PROPFIND": Bad("PROPFIND /v1/jobs", 405),
    "overridden": Bad(f"GET {MOVE}", 405, ("{bearer}", "X-HTTP-Method-Override: POST")),
}

HEADERS = {
    "a line's end in a value": Bad("GET /v1/jobs?state=a%0d%0aSet-Cookie:%20a=b", 400, field="state"),
    "a field that is one": Bad("GET /v1/jobs?a%0d%0aSet-Cookie:%20a=b=1", 400, field="a\r\nSet-Cookie: a"),
    "two hosts": Bad("GET /v1/jobs", 400, ("{bearer}", "Host: evil.example"), field="Host"),
    "another host": Bad("GET //evil.example/v1/jobs", 404, ("{bearer}", "X-Forwarded-Host: evil.example")),
    "no content type": Bad(f"POST {MOVE}", 415, ("{bearer}", LENGTH), move()),
    "two content types": Bad(f"POST {MOVE}", 415, ("{bearer}", LENGTH, "Content-Type: text/plain", JSON), move()),
    "a length in thousands of digits": Bad(f"POST {MOVE}", 404, ("{bearer}", LONG_LENGTH, JSON), move()),
    "a body that is packed": Bad(f"POST {MOVE}", 415, ("{bearer}", LENGTH, JSON, "Content-Encoding: gzip"), move()),
}

BROKEN = {
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a space in the path": b"GET /v1/jobs x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a null byte in a header": b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nX-A: a\x00b\r\n\r\n",
    "a line's end in a header": b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nX-A: a\rb\r\n\r\n",
    "a header without a colon": b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nhunter2\r\n\r\n",
    "a space before the colon": b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
    "two lengths": b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "a length in words": b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n",
}


@pytest.fixture
def wire(service: Service) -> Iterator[Wire]:
    """A raw connection; whatever was sent over it has stored nothing."""
    before = stored()
    with Wire(service.url) as made:
        yield made
    assert stored() == before


def calm(sent: Sent, status: int, *secrets: str) -> None:
    """Hold a refusal against what is expected, and look for what it should not tell."""
    assert sent.status == status, sent.body
    assert sent.problem["status"] == status
    for told in (*secrets, "hunter2", "Traceback", "jsonschema", "/service/", "uvicorn"):
        assert told not in f"{sent.headers}{sent.body.decode()}"
    assert "set-cookie" not in {name.lower() for name in sent.headers}
    assert "access-control-allow-origin" not in {name.lower() for name in sent.headers}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(bad, id=f"{kind}: {name}")
        for kind, table in {"token": TOKENS, "path": PATHS, "method": METHODS, "header": HEADERS}.items()
        for name, bad in table.items()
    ],
)
def test_refused_and_the_connection_goes_on(service: Service, wire: Wire, bad: Bad) -> None:
    """The answer is 4xx, names the field where there is one, and the next request on the same socket is served."""
    token = service.tokens["operator"]
    words = {"{bearer}": f"Authorization: Bearer {token}", "{token}": token}

    def fill(text: str) -> str:
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        return text

    sent = wire.ask(fill(bad.line), *map(fill, bad.headers), body=bad.body)
    calm(sent, bad.status, token)
    assert sent.problem.get("field") == bad.field
    assert wire.ask("GET /v1/jobs?limit=1", fill("{bearer}")).status == 200


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_http(wire: Wire, data: bytes) -> None:
    """Where one cannot tell any more where a request begins, it is refused and the connection closed."""
    wire.send(data)
    calm(wire.answer(), 400)
    assert wire.closed


def test_chunks_that_never_end(service: Service, wire: Wire) -> None:
    """A body that goes on for ever is refused once it is too large, though nobody said how large it would be."""
    bearer = f"Authorization: Bearer {service.tokens['operator']}"
    wire.send(wire.request(f"POST {MOVE}", bearer, JSON, "Transfer-Encoding: chunked"))
    try:
        for _ in range(200):
            wire.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    except OSError:
        # It was refused while we still wrote.
        return
    calm(wire.answer(), 413)


def test_a_chunk_that_is_none(service: Service, wire: Wire) -> None:
    """A chunk without a size breaks the connection, and is no server's error."""
    bearer = f"Authorization: Bearer {service.tokens['operator']}"
    wire.send(wire.request(f"POST {MOVE}", bearer, JSON, "Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"))
    calm(wire.answer(), 400)
    assert wire.closed


def test_half_a_body(service: Service, wire: Wire) -> None:
    """A caller who goes away in the middle of a body has ordered nothing."""
    bearer = f"Authorization: Bearer {service.tokens['operator']}"
    wire.send(wire.request(f"POST {MOVE}", bearer, JSON, "Content-Length: 100", body=b'{"queue": "fast"'))


def test_expect_continue(service: Service, wire: Wire) -> None:
    """A caller who asks first whether the body is wanted is told no before it is sent."""
    wire.send(wire.request(f"POST {MOVE}", JSON, "Content-Length: 100000000", "Expect: 100-continue"))
    calm(wire.answer(), 401)


def test_a_request_for_no_host_is_refused_unless_it_is_of_a_time_without_hosts(wire: Wire) -> None:
    """RFC 9112, 3.2."""
    wire.send(b"GET /v1/jobs HTTP/1.1\r\n\r\n")
    sent = wire.answer()
    calm(sent, 400)
    assert sent.problem["field"] == "Host"
    wire.send(b"GET /v1/jobs HTTP/1.0\r\n\r\n")
    calm(wire.answer(), 401)

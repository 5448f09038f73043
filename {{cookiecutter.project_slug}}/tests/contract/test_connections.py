"""The front holds many callers at once, the slow among them, and lets each finish what it began."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPResponse

import httpx
import pytest

from service.api.connection import MAX_PIECES, TOO_FINE, Connection
from tests.contract.conftest import Make, Service, opened
from tests.support.stack import Stack, until

# Seconds within which health answers while all of them are there.
HEALTH = 1.0

CHUNKED = ("Content-Type: application/json", "Transfer-Encoding: chunked")

ORDINARY, SLOW_HEADS, SLOW_BODIES, SLOW_READERS = 100, 30, 30, 40


class Callers:
    """Connections to one API, driven by hand, that end together."""

    def __init__(self, service: Service, token: str) -> None:
        address = httpx.URL(service.url)
        self._address = (address.host, address.port)
        self._token = f"Authorization: Bearer {service.tokens[token]}"
        self._open = ExitStack()

    def connect(self, window: int | None = None) -> socket.socket:
        """Open one; `window` is how much of an answer it takes without reading."""
        caller = self._open.enter_context(socket.socket())
        if window:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        caller.settimeout(20)
        caller.connect(self._address)
        return caller

    def request(self, line: str, *headers: str) -> bytes:
        """The bytes of a head with the token."""
        return "\r\n".join([f"{line} HTTP/1.1", "Host: x", self._token, *headers, "", ""]).encode()

    def end(self) -> None:
        """Close them all."""
        self._open.close()


def answer(caller: socket.socket) -> HTTPResponse:
    """Read one whole answer."""
    read = HTTPResponse(caller)
    read.begin()
    read.read()
    return read


@pytest.fixture
def callers(service: Service) -> Iterator[Callers]:
    """Callers who may do everything."""
    made = Callers(service, "operator")
    yield made
    made.end()


def usual(url: str, **headers: str) -> float:
    """The seconds that an answer takes on a connection of its own, as the median of some."""
    seconds = []
    for _ in range(9):
        began = time.monotonic()
        assert httpx.get(url, headers=headers).status_code == 200
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def test_two_hundred_of_whom_half_are_slow(service: Service, callers: Callers, job: Make) -> None:
    """Health answers within a second, and so do ordinary requests, however slowly others write and read."""
    for _ in range(100):
        job()
    request = callers.request("GET /v1/jobs?limit=100")
    ordinary = [callers.connect() for _ in range(ORDINARY)]
    for caller in ordinary:
        caller.sendall(callers.request("GET /health/live"))
        assert answer(caller).status == 200
    writers = [callers.connect() for _ in range(SLOW_HEADS + SLOW_BODIES)]
    move = callers.request(f"POST /v1/jobs/{job()}/move", "Content-Type: application/json", "Content-Length: 1000")
    for number, caller in enumerate(writers):
        caller.sendall(request[:-2] if number < SLOW_HEADS else move)
    readers = [callers.connect(window=2048) for _ in range(SLOW_READERS)]
    for caller in readers:
        # So many answers that the kernel cannot keep them all: the API has to wait for the caller.
        caller.sendall(request * 15)
    assert ORDINARY + len(writers) + len(readers) == 200
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.5):
            for number, caller in enumerate(writers):
                # On a machine that is slow itself, some are told meanwhile that they took too long.
                with suppress(OSError):
                    caller.sendall(b"X-Slow: x\r\n" if number < SLOW_HEADS else b" ")
            for caller in readers:
                with suppress(OSError):
                    caller.recv(256)

    slow = threading.Thread(target=trickle)
    slow.start()
    try:
        for path in ("/health/live", "/health/ready"):
            assert usual(service.url + path) < HEALTH
        authorization = f"Bearer {service.tokens['operator']}"
        assert usual(f"{service.url}/v1/queues", Authorization=authorization) < HEALTH
        for caller in ordinary:
            caller.sendall(callers.request("GET /health/live"))
            assert answer(caller).status == 200
    finally:
        stop.set()
        slow.join()
    # The slow are not forgotten over the others: a body that is whole at last is answered.
    writers[-1].sendall(b" " * 1000)
    assert answer(writers[-1]).status in {400, 408}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"GET /v1/jobs HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431, id="a large head"),
        pytest.param(b"GET /v1/jobs?state=" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414, id="a long query"),
        pytest.param(b"GET /" + b"%" * 5000 + b" HTTP/1.1\r\n\r\n", 414, id="a long path"),
    ],
)
def test_what_is_refused_before_it_is_a_request(callers: Callers, said: bytes, status: int) -> None:
    """It is refused in the form of every other refusal, and nothing tells which server this is."""
    caller = callers.connect()
    caller.sendall(said)
    refused = answer(caller)
    assert refused.status == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["connection"] == "close"
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert refused.headers["x-request-id"]
    assert "server" not in refused.headers
    assert caller.recv(1) == b""


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"0\r\nX-Trailer: " + b"x" * 100_000, id="a trailer without end"),
        pytest.param(b"0\r\n" + b"x" * 100_000, id="a trailer's name without end"),
        pytest.param(b"1;" + b"x" * 100_000, id="a chunk's extension without end"),
        pytest.param(b"1\r\nx\r\n" * 10_000, id="chunks of one byte"),
    ],
)
def test_what_follows_an_answer_is_not_taken_apart_without_end(callers: Callers, rest: bytes) -> None:
    """A stranger is refused at the head; what goes on after it costs the others time, and gets no second answer."""
    caller = callers.connect()
    # Less than the time after which a connection ends that asks for nothing.
    caller.settimeout(Connection.HEAD_SECONDS / 2)
    caller.sendall(b"POST /v1/queues/fast/pause HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert answer(caller).status == 401
    caller.sendall(rest)
    assert caller.recv(1) == b""


def test_a_body_in_too_many_pieces(callers: Callers) -> None:
    """It is refused in words that help."""
    caller = callers.connect()
    caller.sendall(callers.request("POST /v1/queues/fast/pause", *CHUNKED) + b"1\r\n \r\n" * (MAX_PIECES + 1))
    read = HTTPResponse(caller)
    read.begin()
    detail = json.loads(read.read())["detail"]
    assert (read.status, detail) == (400, TOO_FINE)


def test_a_trailer_of_a_few_bytes_ends_a_body_as_it_may(callers: Callers, job: Make) -> None:
    """And the connection is as good as before."""
    caller = callers.connect()
    head = callers.request(f"POST /v1/jobs/{job()}/move", *CHUNKED)
    for _ in range(2):
        caller.sendall(head + b'10\r\n{"queue":"fast"}\r\n0\r\nX-Trailer: x\r\n\r\n')
        assert answer(caller).status == 200


def test_more_than_there_are_places_for(stores: Stack) -> None:
    """Connections that ask nothing keep nobody out."""
    with opened(stores, MAX_CONNECTIONS="20") as service:
        callers = Callers(service, "anna")
        try:
            for _ in range(40):
                callers.connect()
            with service.caller("anna") as anna:
                assert anna.get("/v1/jobs").status_code == 200
            # Neither do those who were refused before they had sent their bodies.
            late = [callers.connect() for _ in range(20)]
            for caller in late:
                caller.sendall(b"POST /v1/queues/fast/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
                assert answer(caller).status == 401
            for caller in late:
                caller.sendall(b"{}")
            for _ in range(3):
                with service.caller("anna") as anna:
                    assert anna.get("/v1/jobs").status_code == 200
        finally:
            callers.end()


def test_the_end_cuts_nothing(stores: Stack) -> None:
    """At SIGTERM what was begun is finished: a body on its way, and a request on a connection that was idle."""
    with opened(stores) as service:
        callers = Callers(service, "operator")
        body, idle, partial = (callers.connect() for _ in range(3))
        idle.sendall(callers.request("GET /health/live"))
        assert answer(idle).headers["connection"] is None
        pause = callers.request("POST /v1/queues/fast/pause", "Content-Type: application/json", "Content-Length: 2")
        body.sendall(pause + b"{")
        partial.sendall(callers.request("GET /v1/jobs")[:-2])
        role = stores.roles[-1]
        until(lambda: httpx.get(f"{service.url}/health/live").status_code == 200)
        role.process.terminate()
        until(lambda: closed(service.url))
        for caller, rest in ((idle, callers.request("GET /v1/jobs")), (partial, b"\r\n"), (body, b"}")):
            caller.sendall(rest)
            assert answer(caller).headers["connection"] == "close"
        assert role.process.wait(10) == 0
        callers.end()


def closed(url: str) -> bool:
    """Whether nobody listens there any more."""
    try:
        httpx.get(f"{url}/health/live")
    except httpx.TransportError:
        return True
    return False

"""One caller's connection, over real sockets: what it refuses, whom it waits for, and how it ends."""

import time

import pytest

from service.api.connection import MAX_HEAD
from tests.support.echo import LARGE, REQUEST, Hasty, Start, refused, rest, start
from tests.support.waiting import until

pytestmark = pytest.mark.slow

__all__ = ["start"]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X-%d: " + b"v" * 500 + b"\r\n", id="many headers"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"v" * 700, id="one header"),
        pytest.param(b"GET /" + b"v" * 700, id="a path"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 600, id="headers of nothing"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_head_that_is_too_large(start: Start, head: bytes, at_once: bool) -> None:
    """It is refused, with 414 where it is the path's fault, and the connection closed, in one packet or in many."""
    tail = head[-500:] if b"%d" not in head else head[16:]
    with start().connect() as caller:
        caller.sendall(head.replace(b"%d", b"0"))
        pieces = [tail.replace(b"%d", b"1") for _ in range(60)]
        if at_once:
            caller.sendall(b"".join(pieces))
        else:
            for piece in pieces:
                try:
                    caller.sendall(piece)
                except OSError:
                    break
                time.sleep(0.001)
        refused(rest(caller), 414 if head.startswith(b"GET /v") else 431)


@pytest.mark.parametrize(("more", "status"), [(0, b"200"), (1, b"431")])
def test_a_head_of_just_the_size(start: Start, more: int, status: bytes) -> None:
    """The limit is what it says, also for a head that comes whole."""
    with start().connect() as caller:
        padding = MAX_HEAD - len(b"/") - len(b"XHostx") - 2 * 32 + more
        caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"v" * padding + b"\r\n\r\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELO mail.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nX y: z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http(start: Start, nonsense: bytes) -> None:
    """It is refused with 400, in the API's own form."""
    with start().connect() as caller:
        caller.sendall(nonsense)
        refused(rest(caller), 400)


def test_a_request_before_nonsense_is_answered(start: Start) -> None:
    """What was asked properly is answered, and nothing else."""
    api = start()
    with api.connect() as caller:
        caller.sendall(REQUEST % b"hold" + b"nonsense\r\n\r\n")
        until(lambda: api.held)
        api.let_go()
        answer = rest(caller)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


def test_trailers_are_no_headers(start: Start) -> None:
    """What comes after the body cannot pretend that it came before."""
    with start().connect() as caller:
        caller.sendall(
            b"POST /headers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        )
        assert b"authorization" not in caller.recv(65536)


def test_a_slow_head(start: Start) -> None:
    """A head that trickles is refused with 408, however diligently it does."""
    with start().connect() as caller:
        began = time.monotonic()
        caller.sendall(b"GET / HTTP/1.1\r\n")
        caller.settimeout(0.05)
        answer = b""
        while not answer and time.monotonic() - began < 10:
            try:
                caller.sendall(b"X: y\r\n")
                answer = caller.recv(65536)
            except TimeoutError:
                continue
        refused(answer, 408)


@pytest.mark.parametrize("said", [b"", b"\r\n"])
def test_silence(start: Start, said: bytes) -> None:
    """Whoever asks nothing is let go."""
    with start().connect() as caller:
        caller.sendall(said)
        assert rest(caller) == b""


def test_a_slow_head_on_a_connection_that_was_used(start: Start) -> None:
    """The second request has no more time than the first."""
    api = start()
    with api.connect() as caller:
        api.ask(caller)
        caller.sendall(b"GET /")
        refused(rest(caller), 408)


def test_a_caller_that_does_not_read(start: Start) -> None:
    """An answer that nobody reads is given up, and its connection with it."""
    api = start()
    with api.connect(window=4096) as caller:
        caller.sendall(REQUEST % b"large")
        until(lambda: api.uvicorn.server_state.connections)
        until(lambda: not api.uvicorn.server_state.connections)


def test_a_caller_that_reads_slowly(start: Start) -> None:
    """One that reads on is waited for, longer than the time between two looks."""
    with start().connect(window=32 * 1024) as caller:
        caller.sendall(REQUEST % b"large")
        began, read = time.monotonic(), 0
        while time.monotonic() - began < 4 * Hasty.READ_SECONDS:
            read += len(caller.recv(16 * 1024))
            time.sleep(0.01)
        assert read < LARGE
        while read < LARGE:
            read += len(caller.recv(LARGE))


def test_a_newcomer_takes_the_place_of_one_that_asks_nothing(start: Start) -> None:
    """Idle connections cannot keep others out."""
    api = start(places=3)
    idle = [api.connect() for _ in range(3)]
    api.ask(idle[0])
    with api.connect() as newcomer:
        assert api.ask(newcomer).startswith(b"HTTP/1.1 200")
    assert rest(idle[1]) == b""
    assert api.ask(idle[0]).startswith(b"HTTP/1.1 200")
    for caller in idle:
        caller.close()


def test_a_newcomer_takes_the_place_of_one_that_sends_on_and_on(start: Start) -> None:
    """A body that never ends holds a place until somebody wants it."""
    api = start(places=2)
    slow = [api.connect() for _ in range(2)]
    for caller in slow:
        caller.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
    with api.connect() as newcomer:
        assert api.ask(newcomer).startswith(b"HTTP/1.1 200")
    for caller in slow:
        caller.close()


def test_a_newcomer_is_refused_while_every_place_is_at_work(start: Start) -> None:
    """Requests under way are not cut for others, which are told to come again."""
    api = start(places=2)
    busy = [api.connect() for _ in range(2)]
    for caller in busy:
        caller.sendall(REQUEST % b"hold")
    until(lambda: len(api.held) == 2)
    with api.connect() as newcomer:
        answer = rest(newcomer)
    refused(answer, 503)
    assert b"retry-after: " in answer
    api.let_go()
    for caller in busy:
        assert caller.recv(65536).startswith(b"HTTP/1.1 200")
        caller.close()


def test_what_was_asked_is_answered_at_the_end(start: Start) -> None:
    """At SIGTERM requests under way are finished, one that comes on an open connection too, and each is the last."""
    api = start()
    with api.connect() as busy, api.connect() as open_, api.connect() as idle:
        assert b"connection: close" not in api.ask(open_)
        busy.sendall(REQUEST % b"hold")
        until(lambda: api.held)
        api.uvicorn.should_exit = True
        until(lambda: not api.uvicorn.servers[0].is_serving())
        late = api.ask(open_)
        assert late.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in late
        assert rest(open_) == rest(idle) == b""
        api.let_go()
        assert b"connection: close" in rest(busy)
    api.thread.join(5)
    assert not api.thread.is_alive()

"""The one client for outbound calls: where it connects, how long it stays, how much it takes."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from service import config
from service.database import Base, engine
from service.errors import UpstreamError, UpstreamRefused
from service.outbound import transport
from service.outbound.client import call, post_json
from tests.support.stack import forget_settings
from tests.support.wire import Serve, fine, names, server

__all__ = ["names"]

NAME = "hooks.example.com"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1")
    monkeypatch.setenv("ENVIRONMENT", "test")
    monkeypatch.setenv("OUTBOUND_ALLOW", "127.0.0.2")
    config.settings.cache_clear()


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(bytes(65536))


def in_tiny_chunks(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\nx\r\n" * 5000)


def never_begins(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)


def in_short_lines(connection: socket.socket) -> None:
    """A head that takes a tenth of a second to read, in one piece."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 14_000 + b"Content-Length: 0\r\n\r\n")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database that knows of no host yet."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/service.db")
    forget_settings()
    Base.metadata.create_all(engine())
    yield
    forget_settings()


def test_cookies_are_not_taken_apart() -> None:
    """As Python's own jar does it, by the path that was asked for, these take twenty seconds of a processor."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\nSet-Cookie2: " + b"a," * 25_000 + b"a\r\n\r\n"
    with server(lambda connection: connection.sendall(head)) as (port, _):
        began = time.process_time()
        assert call("GET", f"http://127.0.0.2:{port}/z{'[' * 1900}").status_code == 200
    assert time.process_time() - began < 5


@pytest.mark.parametrize("serve", [in_tiny_chunks, never_begins, in_short_lines])
def test_an_answer_in_crumbs_is_not_taken_apart_for_long(serve: Serve) -> None:
    with server(serve) as (port, _), pytest.raises(UpstreamError, match=r"large parts|expected an answer within"):
        call("GET", f"http://127.0.0.2:{port}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433"])
def test_what_is_not_public_is_refused_before_anything_is_sent(host: str) -> None:
    with server(fine, "127.0.0.1") as (port, heads):
        with pytest.raises(UpstreamRefused):
            call("GET", f"http://{host}:{port}/")
        assert heads == []


def test_a_redirect_is_an_answer_and_leads_nowhere() -> None:
    with server(fine, "127.0.0.1") as (inner, inside):
        head = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner}/\r\nContent-Length: 0\r\n\r\n".encode(
            "latin-1"
        )
        with server(lambda connection: connection.sendall(head)) as (port, _):
            assert call("GET", f"http://127.0.0.2:{port}/").status_code == 302
        assert inside == []


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with server(fine) as (port, _):
        assert call("GET", f"http://127.0.0.2:{port}/").text == "ok"


@pytest.fixture
def context(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ssl.SSLContext]:
    """What a server needs to be NAME, which is at 127.0.0.2, as another name is."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    transport.tls.cache_clear()
    names |= {NAME: ["127.0.0.2"], "other.example.com": ["127.0.0.2"]}
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(made)
    yield made
    transport.tls.cache_clear()


@contextmanager
def secured(context: ssl.SSLContext) -> Iterator[int]:
    """Give the port of a server that speaks TLS."""
    with socket.create_server(("127.0.0.2", 0)) as listening:

        def run() -> None:
            with suppress(OSError):
                while connection := listening.accept()[0]:
                    with suppress(OSError), context.wrap_socket(connection, server_side=True) as over:
                        over.recv(65536)
                        fine(over)

        threading.Thread(target=run, daemon=True).start()
        yield listening.getsockname()[1]


def test_the_certificate_is_held_against_the_name_while_the_address_is_the_checked_one(context: ssl.SSLContext) -> None:
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    with secured(context) as port:
        assert call("GET", f"https://{NAME}:{port}/").text == "ok"
        assert asked == [NAME]
        for host in ("other.example.com", "127.0.0.2"):
            with pytest.raises(UpstreamError, match="certificate"):
                call("GET", f"https://{host}:{port}/")


def test_what_tls_says_of_itself_is_not_read_without_end(context: ssl.SSLContext) -> None:
    """Before the answer come keys for another time, 20 MB of them; below the pieces OpenSSL would read them all."""
    context.num_tickets = 100_000
    with secured(context) as port, pytest.raises(UpstreamError, match="within the bytes that it may have"):
        call("GET", f"https://{NAME}:{port}/")


def test_the_other_side_chooses_no_number_that_is_computed_with() -> None:
    """With one of 10,000 bits a call computes for a second in one piece."""
    names = [cipher["name"] for cipher in transport.tls().get_ciphers()]
    assert len(names) > 10
    assert not [name for name in names if name.startswith(("DHE", "DH-", "ADH"))]


def trickle(head: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.1)

    return serve


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(trickle(b"HTTP/1.1 200 OK\r\nX-Slow: "), id="a head that trickles"),
        pytest.param(trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), id="a body that trickles"),
        pytest.param(lambda connection: connection.recv(1), id="silence"),
    ],
)
def test_the_time_is_that_of_the_whole_call(serve: Serve) -> None:
    with server(serve) as (port, _):
        began = time.monotonic()
        with pytest.raises(UpstreamError):
            call("GET", f"http://127.0.0.2:{port}/", seconds=1.0)
        # Trickling, it would have lasted for a day.
        assert 0.9 < time.monotonic() - began < 10


def test_a_receiver_that_takes_nothing_is_left_in_time() -> None:
    began = time.monotonic()
    with server(lambda connection: time.sleep(30)) as (port, _), pytest.raises(UpstreamError):
        call("POST", f"http://127.0.0.2:{port}/", content=bytes(50_000_000), seconds=1.0)
    assert time.monotonic() - began < 10


def test_an_answer_is_read_up_to_its_limit_and_never_unpacked() -> None:
    packed = gzip.compress(bytes(10_000_000))
    length = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    with server(lambda connection: connection.sendall(length + packed)) as (port, heads):
        assert call("GET", f"http://127.0.0.2:{port}/").content == packed
        assert b"accept-encoding: identity" in heads[0].lower()

    with server(endless) as (port, _):
        with pytest.raises(UpstreamError, match="at most 1000 bytes"):
            call("GET", f"http://127.0.0.2:{port}/", max_answer=1000)
        assert call("GET", f"http://127.0.0.2:{port}/", max_answer=0).status_code == 200


@pytest.mark.usefixtures("store")
def test_a_message_is_posted_whatever_is_said_to_it() -> None:
    with server(endless) as (port, _):
        url = f"http://127.0.0.2:{port}/"
        assert post_json(url, {}, idempotency_key="k", max_answer=0).status_code == 200
        with pytest.raises(UpstreamError, match="at most 1048576 bytes"):
            post_json(url, {}, idempotency_key="k")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("status", "header", "error", "wait"),
    [
        ("503 Busy", "Retry-After: 7", UpstreamError, 7.0),
        ("429 Slow", "Retry-After: 99999999999", UpstreamError, 86_400.0),
        ("500 Oh", "Retry-After: soon", UpstreamError, None),
        ("429 Slow", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", UpstreamError, 0.0),
        ("503 Busy", f"Retry-After: Mon, 01 Jan 2024 00:00:00 +{'9' * 20}", UpstreamError, None),
        ("302 Found", "Location: http://127.0.0.2/", UpstreamRefused, None),
        # What is longer than any URL once it is encoded.
        ("302 Found", "Location: " + "\xe9" * 20_000, UpstreamError, None),
        ("404 No", "X: y", UpstreamRefused, None),
        ("404 No", "X: \xff", UpstreamRefused, None),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(
    status: str, header: str, error: type[Exception], wait: float | None
) -> None:
    answer = f"HTTP/1.1 {status}\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
    with server(lambda connection: connection.sendall(answer)) as (port, _), pytest.raises(error) as caught:
        post_json(f"http://127.0.0.2:{port}/", {"message": "x"}, idempotency_key="k")
    assert getattr(caught.value, "retry_after", None) == wait


def test_nobody_there_is_worth_another_attempt() -> None:
    with server(fine) as (port, _):
        pass
    with pytest.raises(UpstreamError, match=r"ConnectError from 127\.0\.0\.2"):
        call("GET", f"http://127.0.0.2:{port}/")

"""How a call reaches its host: at an address that was checked, within a total time, whatever the other side does.

The address is looked up once, checked and connected to as it is, so a name that changes its mind between the check
and the connection changes nothing (DNS rebinding). The Host header and the certificate go by the name all the same.
"""

import functools
import ssl
import time
from typing import Any, cast

import httpcore
import httpx
from httpcore._backends.sync import TLSinTLSStream

from service.outbound.guard import resolve

# Seconds to look up the name, and to connect.
CONNECT_SECONDS = 3.0

# Bytes that are written or read at once, within which an answer must have begun, and that a read, or a line of what
# stands before an answer's body, counts at least; and that may come for a body besides twice its own.
PIECE, MAX_HEAD, SMALL, LINE, MORE = 4096, 64 * 1024, 256, 64, 1024 * 1024


class Deadline:
    """What one call may take: the time until a moment, and `room`, the bytes that may still come."""

    def __init__(self, seconds: float) -> None:
        self._end, self.room, self.line = time.monotonic() + seconds, MAX_HEAD, LINE

    def left(self, at_most: float | None = None) -> float:
        """Seconds until then.

        Raises:
            httpcore.TimeoutException: none are left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("no answer within the total time")
        return left if at_most is None else min(left, at_most)

    def take(self, piece: bytes) -> bytes:
        """Count what came, and let other greenlets have their turn, also where the other side never lets one wait."""
        self.room -= max(len(piece), SMALL, self.line * piece.count(b"\n"))
        time.sleep(0)
        return piece


class Transport(httpx.BaseTransport):
    """httpx's way to the network for one call."""

    def __init__(self, seconds: float, body: int) -> None:
        """For an answer in `seconds`, from looking up the name to the last byte, with so many bytes of a body."""
        self._body, deadline = 2 * body + MORE, Deadline(seconds)
        self._deadline, network = deadline, _Network(deadline)
        self._pool = httpcore.ConnectionPool(ssl_context=tls(), network_backend=network, keepalive_expiry=0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the answer's body is still to be read."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        asked = httpcore.Request(request.method, target, headers=request.headers.raw, content=request.read())
        answer = self._pool.handle_request(asked)
        self._deadline.room, self._deadline.line = self._body, 0
        return httpx.Response(answer.status, headers=answer.headers, content=answer.iter_stream())

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


class _Network(httpcore.NetworkBackend):
    """Connects to checked addresses alone."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline, self._sockets = deadline, httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore.NetworkStream:
        try:
            addresses = resolve(host, port, self._deadline.left(CONNECT_SECONDS))
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                connected = self._sockets.connect_tcp(address, port, self._deadline.left(CONNECT_SECONDS))
                return _Stream(connected, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


class _Stream(httpcore.NetworkStream):
    """A connection whose every operation ends with the call's total time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._deadline.room < 0:
            raise httpcore.RemoteProtocolError("expected an answer within the bytes that it may have, got: more")
        return self._deadline.take(self._stream.read(min(max_bytes, PIECE), self._deadline.left()))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces that a socket takes whole or not at all: within one write the time begins anew with each part sent.
        for start in range(0, len(buffer), PIECE):
            self._stream.write(buffer[start : start + PIECE], self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None) -> Any:
        return _Secured(cast(Any, self), ssl_context, server_hostname)

    def settimeout(self, _: float | None) -> None:
        """As a socket, which TLS takes it for; the time is the call's."""

    recv, sendall = read, write


class _Secured(TLSinTLSStream):
    """httpcore's TLS above those pieces: below them OpenSSL would read on as long as no byte of an answer comes."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return cast(_Stream, self._sock)._deadline.take(super().read(max_bytes))
        except httpcore.ReadError as error:
            if isinstance(error.__cause__, (ssl.SSLZeroReturnError, ssl.SSLEOFError)):
                return b""
            raise


@functools.cache
def tls() -> ssl.SSLContext:
    """Whom to trust, loaded once, which takes longer than a call; SSL_CERT_FILE adds a company's own."""
    made = httpx.create_ssl_context()
    # Python's own list but for DHE, whose numbers the other side may choose as large as it likes.
    made.set_ciphers("@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM")
    return made

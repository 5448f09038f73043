"""How a call reaches its host: at an address that was checked, within a total time, whatever the other side does.

The address is looked up once, checked and connected to as it is, so a name that changes its mind between the check
and the connection changes nothing (DNS rebinding). The Host header and the certificate go by the name all the same.
"""

import functools
import math
import ssl
import time
from typing import Any

import httpcore
import httpx

from service.outbound.guard import resolve

# Seconds to look up the name, to connect, and to agree on keys.
CONNECT_SECONDS = 3.0

# Bytes that are written or read at once, within which an answer must have begun, and that a read counts at least.
PIECE, MAX_HEAD, SMALL = 4096, 64 * 1024, 256


class Deadline:
    """A moment after which nothing more is waited for."""

    def __init__(self, seconds: float) -> None:
        self._end, self.room = time.monotonic() + seconds, float(MAX_HEAD)

    def left(self, at_most: float | None = None) -> float:
        """Seconds until then.

        Raises:
            httpcore.TimeoutException: none are left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("no answer within the total time")
        return left if at_most is None else min(left, at_most)


class Transport(httpx.BaseTransport):
    """httpx's way to the network for one call."""

    def __init__(self, deadline: Deadline) -> None:
        network, self._deadline = _Network(deadline), deadline
        self._pool = httpcore.ConnectionPool(ssl_context=tls(), network_backend=network, keepalive_expiry=0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the answer's body is still to be read."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        asked = httpcore.Request(request.method, target, headers=request.headers.raw, content=request.read())
        answer = self._pool.handle_request(asked)
        self._deadline.room = math.inf
        return httpx.Response(answer.status, headers=answer.headers, content=answer.iter_stream())

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


class _Network(httpcore.NetworkBackend):
    """Connects to checked addresses alone."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

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
        # Other greenlets have their turn before each piece, also where the other side never lets one wait.
        time.sleep(0)
        if self._deadline.room < 0:
            raise httpcore.RemoteProtocolError(f"expected an answer within {MAX_HEAD} bytes, got: more")
        read = self._stream.read(min(max_bytes, PIECE), self._deadline.left())
        self._deadline.room -= max(len(read), SMALL)
        return read

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces that a socket takes whole or not at all: within one write the time begins anew with each part sent.
        for start in range(0, len(buffer), PIECE):
            self._stream.write(buffer[start : start + PIECE], self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left(CONNECT_SECONDS))
        return _Stream(secured, self._deadline)


@functools.cache
def tls() -> ssl.SSLContext:
    """Whom to trust, loaded once, which takes longer than a call; SSL_CERT_FILE adds a company's own."""
    return httpx.create_ssl_context()

"""A connection on which one writes bytes, not requests: what no client would send can be sent."""

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any, Self

import httpx


@dataclass(frozen=True)
class Sent:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body of an error."""
        assert self.headers["Content-Type"] == "application/problem+json"
        return dict(json.loads(self.body))


class Wire:
    """One connection to the service."""

    def __init__(self, url: str, seconds: float = 20.0) -> None:
        place = httpx.URL(url)
        self.host = f"{place.host}:{place.port}"
        self.socket = socket.create_connection((place.host, place.port), seconds)

    def send(self, data: bytes) -> None:
        """Write bytes."""
        self.socket.sendall(data)

    def request(self, line: str, *headers: str, body: bytes = b"") -> bytes:
        """The bytes of a request with just these headers, and a Host."""
        head = [f"{line} HTTP/1.1", f"Host: {self.host}", *headers]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + body

    def ask(self, line: str, *headers: str, body: bytes = b"") -> Sent:
        """Send a request, and read its answer."""
        self.send(self.request(line, *headers, body=body))
        return self.answer()

    def answer(self) -> Sent:
        """Read one answer."""
        came = http.client.HTTPResponse(self.socket)
        came.begin()
        return Sent(came.status, came.headers, came.read())

    @property
    def closed(self) -> bool:
        """Whether the service has closed the connection; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

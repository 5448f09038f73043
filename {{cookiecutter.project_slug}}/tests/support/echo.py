"""An API's connections without the API: uvicorn as this service configures it, and an application that echoes."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.api import server
from service.api.connection import Connection
from tests.support.waiting import until

LARGE = 4 * 1024 * 1024
REQUEST = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


class Hasty(Connection):
    """As in production, with less patience."""

    HEAD_SECONDS = READ_SECONDS = 0.5
    LINGER = 0.3


class Server:
    """uvicorn in a thread, with an application that answers with what it was sent, after what its path asks for."""

    def __init__(self, places: int = 10) -> None:
        self.listening = server.listen("127.0.0.1", 0)
        self.held: list[asyncio.Event] = []
        self.uvicorn = uvicorn.Server(server.configure(self, places, Hasty))
        self.thread = threading.Thread(target=self.uvicorn.run, kwargs={"sockets": [self.listening]})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be that application."""
        self.loop, body, message = asyncio.get_running_loop(), b"", await receive()
        while message["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
            message = await receive()
        if scope["path"] == "/hold":
            self.held.append(asyncio.Event())
            await self.held[-1].wait()
        if scope["path"] == "/large":
            body = b"x" * LARGE
        if scope["path"] == "/headers":
            body = json.dumps([name.decode() for name, _ in scope["headers"]]).encode()
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})

    def let_go(self) -> None:
        """Answer what was held."""
        for event in self.held:
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(event.set)

    def connect(self, *, window: int | None = None) -> socket.socket:
        """Open a connection; `window` is how much the caller's side takes unread."""
        caller = socket.socket()
        if window:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        caller.settimeout(10)
        caller.connect(self.listening.getsockname())
        return caller

    def ask(self, caller: socket.socket, path: bytes = b"") -> bytes:
        """Send one request; gives the first bytes of its answer."""
        caller.sendall(REQUEST % path)
        return caller.recv(65536)


def rest(caller: socket.socket) -> bytes:
    """Read until the other side closes; a reset counts as that."""
    read = b""
    with contextlib.suppress(ConnectionResetError):
        while data := caller.recv(65536):
            read += data
    return read


def refused(answer: bytes, status: int) -> None:
    """Hold a refusal against what every answer of this API is like."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].split()[1] == str(status), answer
    assert {"content-type: application/problem+json", "connection: close", "x-content-type-options: nosniff"} <= {
        *lines
    }
    assert not any(line.startswith("server:") for line in lines)
    problem = json.loads(body)
    assert problem["status"] == status
    assert f"x-request-id: {problem['request_id']}" in lines


Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that end with the test."""
    servers: list[Server] = []

    def make(**how: int) -> Server:
        api = Server(**how)
        servers.append(api)
        api.thread.start()
        until(lambda: api.uvicorn.started)
        return api

    yield make
    for api in servers:
        api.let_go()
        api.uvicorn.should_exit = True
        api.thread.join(15)
        assert not api.thread.is_alive()

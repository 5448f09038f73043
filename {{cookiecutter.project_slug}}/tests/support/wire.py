"""Servers that say what no library would, and names that stand for what a test wants."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

RESOLVE = socket.getaddrinfo

Serve = Callable[[socket.socket], None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each name stands for, one answer after the other; the last one stays.

    The answers of the name server are all that is made up, since no name server of the test's own could be asked
    without root: sockets, servers and TLS are real.
    """
    answers: dict[str, list[str]] = {}

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        known = answers.get(host)
        address = known.pop(0) if known and len(known) > 1 else known[0] if known else host
        return RESOLVE(address, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


@contextmanager
def server(serve: Serve, host: str = "127.0.0.2", port: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Listen, and serve each connection once its head has come; gives the port and the heads."""
    heads: list[bytes] = []
    listening = socket.create_server((host, port))

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            heads.append(connection.recv(65536))
            serve(connection)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listening.getsockname()[1], heads
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def fine(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

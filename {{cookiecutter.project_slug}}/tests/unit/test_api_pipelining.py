"""Requests that follow each other on one connection: how many wait, and what is none although it looks like one."""

import socket
import struct
import time

import pytest

from service.api.connection import MAX_PIPELINE
from tests.support.echo import REQUEST, Start, rest, start
from tests.support.waiting import until

__all__ = ["start"]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", [b"h2c", b"websocket", b"foo"])
def test_an_upgrade_is_not_made_and_nothing_after_it_is_a_request(start: Start, kind: bytes) -> None:
    """What would be its body could be another's request, where a front shares its connections."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: " + kind + b"\r\nContent-Length: 30\r\n\r\n"
    with start().connect() as caller:
        caller.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\n") + upgrade)
        time.sleep(0.2)
        caller.sendall(REQUEST)
        answered = rest(caller)
    assert answered.count(b"HTTP/1.1 ") == 1


def test_requests_that_wait_for_an_answer_are_not_collected_without_end(start: Start) -> None:
    """The first are answered; those beyond a few end the connection, and are kept nowhere."""
    api = start()
    with api.connect() as caller:
        caller.sendall(REQUEST % b"hold" + REQUEST % b"x" * 4000)
        until(lambda: api.held)
        api.let_go()
        answered = rest(caller)
    assert 1 < answered.count(b"HTTP/1.1 200") <= MAX_PIPELINE + 1
    with api.connect() as caller:
        caller.sendall(
            REQUEST % b"x" * MAX_PIPELINE + (REQUEST % b"x").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        assert rest(caller).count(b"HTTP/1.1 200") == MAX_PIPELINE + 1


@pytest.mark.parametrize("path", [b"hold", b"large"])
def test_who_sends_two_requests_and_hangs_up_makes_no_error(
    start: Start, path: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is under way when its caller leaves; it is told, not only the one that waits."""
    api = start()
    caller = api.connect(window=4096)
    caller.sendall(REQUEST % path + REQUEST % b"x")
    if path == b"hold":
        until(lambda: api.held)
    else:
        assert caller.recv(1)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()
    until(lambda: not api.uvicorn.server_state.connections)
    api.let_go()
    until(lambda: not api.uvicorn.server_state.tasks)
    assert [line.getMessage() for line in caplog.records if line.levelname in ("WARNING", "ERROR")] == []

"""How the API's process serves."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from service.api import server
from tests.support.ports import free_port
from tests.support.waiting import until

# It answers with how many objects the collector of garbage leaves alone.
SERVE = """
import gc, sys
from service.api import server

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"%d" % gc.get_freeze_count()})

server.serve(app, server.listen("127.0.0.1", int(sys.argv[1])))
"""


def test_no_part_of_an_answer_waits_for_an_acknowledgement() -> None:
    """Which a caller may delay by 40 ms, and most do: that was most of the time of a request."""
    with server.listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        taken, _ = listening.accept()
        with taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_body_makes_the_process_look_through_all_that_it_is_made_of() -> None:
    """Health waited for 4 to 9 s beside 300 bodies of 43,000 empty lists each, most of it for full collections."""
    port = free_port()
    stores = {"DATABASE_URL": "sqlite:///none.db", "BROKER_URL": "redis://127.0.0.1:1/0", "ENVIRONMENT": "test"}
    command = [sys.executable, "-c", SERVE, str(port)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], env=os.environ | stores) as process:
        try:

            def left_alone() -> int:
                try:
                    return int(httpx.get(f"http://127.0.0.1:{port}/").text)
                except httpx.TransportError:
                    return 0

            assert until(left_alone, seconds=60) > 10_000
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

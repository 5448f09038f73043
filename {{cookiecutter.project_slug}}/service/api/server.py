"""uvicorn, as this service runs it."""

import functools
import gc
import signal
import socket
import sys
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from service.api.connection import Connection, Places
from service.config import settings
from service.errors import StartRefused

log = structlog.get_logger()

# Seconds: for requests under way at SIGTERM; and for an idle connection, longer than load balancers keep theirs.
GRACE = 20
KEEP_ALIVE = 75

# Bytes that the kernel keeps for a caller who does not read; with more, one who reads slowly would seem not to read.
SEND_BUFFER = 128 * 1024


def listen(host: str, port: int) -> socket.socket:
    """Take the address; port 0 is any that is free.

    Raises:
        StartRefused: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        remedy = "stop whoever is there, or set HOST and PORT"
        raise StartRefused(f"expected to listen on {host} port {port}, got: {error.strerror}; {remedy}") from error
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # asyncio does so for its own sockets alone. Without it the second part of an answer waits for an acknowledgement.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def address(listening: socket.socket) -> str:
    """Where a caller on this machine finds it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - printed, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def configure(app: ASGIApp, places: int, kind: type[Connection] = Connection) -> uvicorn.Config:
    """What uvicorn is told: `places` is how many connections there may be at once."""
    options: Any = dict.fromkeys(("access_log", "server_header", "proxy_headers"), False) | {"log_config": None}
    # So that what uvicorn hands over is an HTTP request, and nothing else.
    options |= {"lifespan": "off", "ws": "none", "http": functools.partial(kind, places=Places(places))}
    return uvicorn.Config(app, timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=GRACE, **options)


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer requests until SIGTERM or SIGINT; those under way are finished, for GRACE seconds at most."""
    server = uvicorn.Server(configure(app, settings().max_connections))

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn has handlers of its own while it runs; these are for the moment before, when a signal must not be lost,
    # and the one after, when it raises the signal again although its work is done.
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, stop)
    # What is here by now stays: of the specification and the libraries there is so much that to look through it for
    # garbage takes a tenth of a second, which one body of many small parts could ask for, and nobody answers meanwhile.
    gc.collect()
    gc.freeze()
    log.info("api listening", address=address(listening))
    server.run(sockets=[listening])
    if not server.started:
        sys.exit(1)

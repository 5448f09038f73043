"""What every request has: an id, headers that are safe, and one line in the log."""

import re
import secrets
import time
from contextlib import nullcontext

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import metrics
from service.api.contract import words
from service.errors import InvalidRequest
from service.observe import context, traces
from service.queues import QUEUES

log = structlog.get_logger()

REQUEST_ID = re.compile(r"(?!.*[A-Za-z0-9_-]{43})[A-Za-z0-9._-]{1,64}")
# Names between single slashes. Connexion's routers and Flask's differ over anything else: one redirects to the Host
# that the caller sent, another skips the token.
PATH = re.compile(r"(/[^/\x00-\x1f\x7f]+)+")
# What a path may hold, in the log, beside the names of the specification.
SHOWN = {"docs", *QUEUES}
MAX_PARTS = 10
# Of a query or a form: very many fields, or percent signs that encode nothing, are cheap to send and dear to read.
MAX_FIELDS = 20
ENCODES_NOTHING = re.compile(b"%(?![0-9A-Fa-f]{2})")
ID = re.compile(r"[0-9A-Fa-f-]{36}")
PROBES = ("/health/live", "/health/ready")
SAFE = {"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer"}
SAFE |= {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
# What an answer may have of its own.
OWN = ("Cache-Control", "Content-Security-Policy")
# Swagger UI brings scripts and styles of its own.
DOCUMENTATION = {**SAFE, "Content-Security-Policy": "frame-ancestors 'none'"}


def shown(path: str) -> str:
    """The path for the log: whatever else stands in it, a token in the wrong place for one, must not come to light."""
    parts = path.split("/", MAX_PARTS)
    return "/".join(part if part in words() or part in SHOWN or ID.fullmatch(part) else "…" for part in parts)


class Envelope:
    """Outermost: answers, errors included, go through it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path, sent = scope["path"], Headers(scope=scope)
        request_id = given if REQUEST_ID.fullmatch(given := sent.get("x-request-id", "")) else secrets.token_hex(16)
        added = {**(DOCUMENTATION if path.startswith("/docs") else SAFE), "X-Request-Id": request_id}
        # Connexion copies the scope, and notes in here which operation it is.
        routed = scope.setdefault("extensions", {}).setdefault("connexion_routing", {})
        started, status = time.monotonic(), 500
        context.clear()
        context.bind(request_id=request_id)

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                # A handler may know better how its answer is cached, and what a page of it may load.
                headers.update(added | {name: headers[name] for name in OWN if name in headers})
            await send(message)

        probe = path in PROBES
        with nullcontext() if probe else traces.request(sent.get(traces.CARRIED)) as tags:
            try:
                await self.app(scope, receive, finish)
            finally:
                speak = log.debug if probe else log.info
                duration = round(time.monotonic() - started, 4)
                speak("request served", method=scope["method"], path=shown(path), status=status, duration=duration)
                if tags is not None:
                    tags |= metrics.served(routed.get("operation_id") or "", scope["method"], status, duration)


def demand_plain(fields: bytes, where: str) -> None:
    """Look at the fields of a query or a form before anything reads them.

    Raises:
        InvalidRequest: there are too many, or they are not encoded as fields are.
    """
    if fields.count(b"&") >= MAX_FIELDS:
        raise InvalidRequest(f"expected at most {MAX_FIELDS} fields in the {where}, got: more", field=where)
    if not fields.isascii() or ENCODES_NOTHING.search(fields):
        raise InvalidRequest(f"expected the {where} to be percent-encoded, got: other bytes", field=where)


class PlainPaths:
    """Refuses paths and queries that the routers do not agree about, and a request for no host, or for several."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request.

        Raises:
            HTTPException: the path has empty parts or control characters, so there is nothing.
            InvalidRequest: the query has too many fields, or bytes that no query can hold; or Host is not there once.
        """
        # RFC 9112, 3.2.
        if scope["http_version"] == "1.1" and len(Headers(scope=scope).getlist("host")) != 1:
            raise InvalidRequest("expected one Host header, got: none, or several", field="Host")
        if not PATH.fullmatch(scope["path"]) and scope["path"] != "/docs/":
            raise HTTPException(404)
        demand_plain(scope["query_string"], "query")
        await self.app(scope, receive, send)

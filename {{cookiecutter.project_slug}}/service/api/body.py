"""A request's body, read whole before anything works on it: bounded in size and time, and of a plain type."""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.queues import MAX_ARGUMENTS

# Bytes, twice those of the largest arguments, since JSON may be spaced; and seconds for them to arrive.
MAX_BODY = 2 * MAX_ARGUMENTS
BODY_SECONDS = 30

JSON = "application/json"
# What no operation takes.
OTHER = "application/octet-stream"
UTF_8 = ("utf-8", "utf8", '"utf-8"')


class WholeBody:
    """Stands before validation: what comes after sees a complete body with its length, however it was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then pass on the request."""
        body = await _read(scope, receive)
        whole = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(whole, None) or await receive()

        await self.app(_plain(scope, body), replay, send)


async def _read(scope: Scope, receive: Receive) -> bytes:
    # Without what Python would refuse to read as a number.
    digits = Headers(scope=scope).get("content-length", "").lstrip("0")
    if len(digits) > len(f"{MAX_BODY}") or (announced := int(digits or "0")) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in Request(scope, receive).stream():
                body += part
                if len(body) > MAX_BODY:
                    raise _too_large()
    except ClientDisconnect as error:
        raise HTTPException(400, "expected the whole body, got: a part of it") from error
    except TimeoutError as error:
        raise HTTPException(408, f"expected the body within {BODY_SECONDS} s, got: a part of it") from error
    if len(body) < announced:
        # As Java's client sends it over plain HTTP unless it is told to stay with HTTP/1.1.
        raise HTTPException(400, "expected no Upgrade header where there is a body, got: one; leave it out")
    return bytes(body)


def _too_large() -> HTTPException:
    return HTTPException(413, f"expected a body of at most {MAX_BODY} bytes, got: more")


def _plain(scope: Scope, body: bytes) -> Scope:
    """The scope with headers that say what the body is; Connexion would skip validation for `Application/JSON`."""
    scope = {**scope, "headers": list(scope["headers"])}
    headers = MutableHeaders(scope=scope)
    packed = headers.get("content-encoding", "identity").lower() != "identity"
    kind = OTHER if packed else _media_type(headers.get("content-type", ""))
    for name in ("content-type", "content-length", "transfer-encoding"):
        del headers[name]
    if body:
        headers["content-type"] = kind
    headers["content-length"] = str(len(body))
    return scope


def _media_type(value: str) -> str:
    """JSON if it is that and in UTF-8; anything else is a type that no operation takes."""
    media_type, *parameters = (part.strip().lower() for part in value.split(";"))
    charsets = [part.removeprefix("charset=") for part in parameters if part.startswith("charset=")]
    plain = media_type == JSON and all(charset in UTF_8 for charset in charsets)
    return JSON if plain else OTHER

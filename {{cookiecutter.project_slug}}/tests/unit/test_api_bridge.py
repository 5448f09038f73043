"""The bridge to Flask: a request goes over whole, its answer comes back in one piece, and so does an error."""

import asyncio
from contextvars import ContextVar
from typing import Any

import flask
import pytest
from connexion.apps.flask import FlaskASGIApp
from starlette.types import Message

from service.api.bridge import Bridge

WHOSE: ContextVar[str] = ContextVar("WHOSE")


def ask(method: str, path: str, body: bytes = b"") -> list[Message]:
    """What the server is sent."""
    inner = FlaskASGIApp("bridged", {})

    def echo() -> flask.Response:
        headers = {"X-Whose": WHOSE.get(), "X-Asked": flask.request.args["q"]}
        return flask.Response(flask.request.get_data() or b"nothing", 202, headers)

    def broken() -> flask.Response:
        raise LookupError("broken")

    inner.app.add_url_rule("/echo", view_func=echo, methods=["POST", "GET"])
    inner.app.add_url_rule("/broken", view_func=broken)
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        said.append(message)

    async def work() -> None:
        WHOSE.set("anna")
        headers = [(b"content-length", str(len(body)).encode())]
        about: dict[str, Any] = {"type": "http", "method": method, "path": path, "query_string": b"q=%C3%BC"}
        await Bridge(inner)({**about, "headers": headers, "http_version": "1.1"}, receive, send)

    asyncio.run(work())
    return said


def test_the_whole_request_goes_over_and_the_whole_answer_comes_back() -> None:
    """With the context of the request; the end is said apart, so that the server can say when the rest was read."""
    start, body, end = ask("POST", "/echo", b"x" * 100_000)
    assert (start["status"], dict(start["headers"])[b"x-whose"]) == (202, b"anna")
    assert dict(start["headers"])[b"x-asked"] == "ü".encode("latin-1")
    assert (body["body"], body["more_body"]) == (b"x" * 100_000, True)
    assert end == {"type": "http.response.body"}


def test_an_answer_to_head_has_no_body() -> None:
    """But the length that it would have."""
    start, body, _ = ask("HEAD", "/echo")
    assert (dict(start["headers"])[b"content-length"], body["body"]) == (b"7", b"")


def test_an_error_comes_back_as_it_was_raised() -> None:
    """Whoever stands before the bridge makes a problem of it."""
    with pytest.raises(LookupError, match="broken"):
        ask("GET", "/broken")

"""Holding a body against its schema costs little: in memory, on the event loop, and of what others wait for."""

import asyncio
import inspect
import json
import tracemalloc
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from service.api.auth import bearer
from service.api.turns import MAX_QUEUED, SMALL
from service.api.validation import ECHO, VALIDATORS, Body, Parameters, check, strings
from service.errors import InvalidRequest, TooManyRequests


def test_a_long_key_is_not_kept_once_for_each_item_below_it() -> None:
    body = {"k" * 60_000: [0] * 20_000 + ["x"]}
    tracemalloc.start()
    try:
        found = list(strings(body))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [text for _, text in found] == ["k" * 60_000, "x"]
    assert max(len(path) for path, _ in found) == ECHO + 1
    assert peak < 20_000_000


def test_a_schema_is_prepared_once() -> None:
    """And a value is held against its own, also where another was at its place in memory."""
    schema, before = {"type": "integer"}, len(VALIDATORS)
    for _ in range(3):
        with pytest.raises(InvalidRequest, match="expected n to be of type integer"):
            check("x", schema, "n")
    assert len(VALIDATORS) == before + 1
    for kind, value in [("integer", 1), ("string", "x")] * 100:
        check(value, {"type": kind})


def test_parameters_are_held_against_the_schemas_of_the_specification() -> None:
    """Were they copied for each request, each would be prepared anew, and kept."""
    given = [{"in": "query", "name": "limit", "schema": {"type": "integer"}}]
    made = [Parameters(given, uri_parser=None, strict_validation=True).parameters["query"][0] for _ in range(2)]
    assert all(parameter["schema"] is given[0]["schema"] for parameter in made)


def test_what_connexion_asks_of_a_function_with_each_request_is_known() -> None:
    """Python works a signature out again each time, unless the function has one."""
    assert inspect.signature(bearer) is inspect.signature(bearer)


def a_body() -> Body:
    """What validates one body, which may be an object."""
    return Body(schema={"type": "object"}, required=True, nullable=False, encoding="utf-8", strict_validation=True)


class Caller:
    """One who sends a body, and then waits or goes away."""

    def __init__(self, body: bytes) -> None:
        self._left = [body]
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        """What the server has for the application."""
        if self._left:
            return {"type": "http.request", "body": self._left.pop(), "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def read(caller: Caller, client: str) -> Any:
    """Read the caller's body; gives it, or what was said of it."""
    scope: dict[str, Any] = {"type": "http", "headers": [(b"content-length", b"9")], "extensions": {}}
    scope["extensions"]["connexion_context"] = {"user": client}
    try:
        receive, _ = await a_body().wrap_receive(caller.receive, scope=scope)
    except Exception as error:
        return type(error)
    return json.loads((await receive())["body"])


LARGE = b"{}" + b" " * (MAX_QUEUED // 4 - 2)


def test_of_large_bodies_a_client_has_so_many_bytes_on_their_way() -> None:
    """The fifth of 128 KiB is told to come again; another client's is read, and one's own when these are."""

    async def work() -> tuple[list[Any], Any]:
        many = [read(Caller(LARGE), "alice") for _ in range(6)]
        return await asyncio.gather(*many, read(Caller(LARGE), "bob")), await read(Caller(LARGE), "alice")

    together, later = asyncio.run(work())
    assert together == [{}] * 4 + [TooManyRequests] * 2 + [{}]
    assert later == {}


def test_a_body_whose_caller_has_gone_is_not_read() -> None:
    """It would be refused as no JSON, had somebody looked at it."""

    async def work() -> list[Any]:
        callers = [Caller(LARGE), Caller(b"?" * SMALL), Caller(b"?" * SMALL)]
        callers[1].gone.set()
        return await asyncio.gather(*(read(caller, "carol") for caller in callers))

    assert asyncio.run(work()) == [{}, HTTPException, InvalidRequest]

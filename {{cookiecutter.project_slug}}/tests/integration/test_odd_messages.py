"""Messages that no caller of this service would send: on either broker they end no worker, and are kept."""

import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import amqp
import pytest
from kombu import Connection

from service.config import settings
from service.jobs import State
from service.jobs.doorbell import broker_queue
from service.jobs.model import ENDED
from tests.support.stack import Role, Stack, until

HEAD = {"task": "trials.echo", "id": "1"}
BODY = "[[], {}, {}]"
OLD = {"task": "trials.echo", "id": "1", "args": [], "kwargs": {}}

# The task of Celery's own that asks for results which nobody keeps, and then calls itself again.
PARTS: dict[str, Any] = {
    "task": "trials.echo",
    "args": [],
    "kwargs": {},
    "options": {},
    "subtask_type": None,
    "immutable": True,
}
UNLOCK = json.dumps([["g", PARTS], {"interval": 0, "result": [[["id", None], None]]}, {}])

# Headers, body, and what else is said of it.
ODD: dict[str, tuple[Mapping[str, Any], str | bytes, Mapping[str, str]]] = {
    "the old protocol": ({}, json.dumps(OLD), {}),
    "the old protocol with an id that is none": ({}, json.dumps(OLD | {"id": {"a": 1}}), {}),
    "the old protocol with a limit that is none": ({}, json.dumps(OLD | {"timelimit": "ab"}), {}),
    "the old protocol with a doorbell's limit": ({"durable": True}, json.dumps(OLD | {"timelimit": [1, 1]}), {}),
    "both protocols": (HEAD, json.dumps(OLD | {"timelimit": "ab"}), {}),
    "no task": ({"id": "1"}, BODY, {}),
    "no id": ({"task": "trials.echo"}, BODY, {}),
    "a job of an unknown task without an id": ({"task": "no.such", "durable": True}, BODY, {}),
    "a task that is a list": (HEAD | {"task": ["trials.echo"]}, BODY, {}),
    "an id that is a list": (HEAD | {"id": ["1"]}, BODY, {}),
    "an id without end": (HEAD | {"id": "1" * 5000}, BODY, {}),
    "a time that is a number": (HEAD | {"eta": 0}, BODY, {}),
    "a time that is an object": (HEAD | {"eta": {}}, BODY, {}),
    "an end that is an object": (HEAD | {"expires": {}}, BODY, {}),
    "a call that renews itself": (HEAD | {"task": "celery.chord_unlock"}, UNLOCK, {}),
    "retries below none": (HEAD | {"retries": -(10**9)}, BODY, {}),
    "retries without end": (HEAD | {"retries": 10**9}, BODY, {}),
    "retries that are no number": (HEAD | {"retries": "1"}, BODY, {}),
    "a body that is a number": (HEAD, "5", {}),
    "a body that is a short list": (HEAD, "[1]", {}),
    "a body of other parts": (HEAD, "[1, 2, 3]", {}),
    "a body that is nothing": (HEAD, "", {}),
    "a body that is deep": (HEAD, "[" * 5000, {}),
    "a body of many levels": (HEAD, "[[" + "[" * 600 + "]" * 600 + "], {}, {}]", {}),
    "data in a codec": (HEAD, BODY, {"content_type": "application/data", "content_encoding": "zlib_codec"}),
    "a body that is huge": (HEAD, json.dumps([["x" * 5_000_000], {}, {}]), {}),
    "a body of bytes": (HEAD, b"\xff\xfe", {}),
    "no type that is known": (HEAD, BODY, {"content_type": "application/data"}),
    "a packed body": (HEAD | {"compression": "application/x-gzip"}, zlib.compress(BODY.encode()), {}),
}


class Raw(amqp.Message):  # type: ignore[misc]  # py-amqp has no types
    """A call whose properties are written as they are given, since py-amqp would write none that it cannot read."""

    def __init__(
        self, body: bytes = BODY.encode(), *, header: bytes = b"", encoding: bytes = b"utf-8", correlation: bytes = b"1"
    ) -> None:
        super().__init__(body)
        named = [_short(name.encode()) + b"S" + _long(value.encode()) for name, value in HEAD.items()]
        # The flags say which properties follow: type, encoding, headers, correlation id.
        texts = _short(b"application/json") + _short(encoding)
        self.written = b"\xe4\x00" + texts + _long(b"".join(named) + header) + _short(correlation)

    def _serialize_properties(self) -> bytes:
        return self.written


def _short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _long(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def _nested(levels: int) -> bytes:
    value = b"V"
    for _ in range(levels):
        value = b"A" + _long(value)
    return value


UNREADABLE = {
    "a time beyond all numbers": Raw(header=_short(b"x") + b"T" + struct.pack(">Q", 2**64 - 1)),
    "a time beyond all years": Raw(header=_short(b"x") + b"T" + struct.pack(">Q", 2**62)),
    "a header that is deep": Raw(header=_short(b"x") + _nested(3000)),
    "a header of many levels": Raw(header=_short(b"x") + _nested(400)),
    "a correlation id of bytes": Raw(correlation=b"\xff\xfe"),
    # Taken apart as what it says it is, it needs many seconds.
    "an encoding that takes for ever": Raw(b"a" * 300_000 + b"-" + b"a" * 300_000, encoding=b"punycode"),
}


@pytest.mark.slow
def test_no_odd_message_ends_a_worker_whichever_the_broker(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    with Connection(settings().broker_url.get_secret_value()) as connection:
        for kind, (head, body, about) in ODD.items():
            said = {"content_type": "application/json", "content_encoding": "utf-8", **about}
            raw = body.encode() if isinstance(body, str) else body
            connection.Producer().publish(raw, routing_key=broker_queue("fast").name, headers={**head}, **said)
            _goes_on(stack, worker, kind)
    until(lambda: len(stack.refused_messages()) == len(ODD))
    assert stack.attempts("1") == []


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("TEST_BROKER_URL", "").startswith("amqp"), reason="messages have such properties on AMQP alone"
)
def test_no_properties_that_cannot_be_read_end_a_worker_or_hold_it_up(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    with Connection(settings().broker_url.get_secret_value()) as connection:
        for kind, message in UNREADABLE.items():
            connection.default_channel.basic_publish(message, routing_key=broker_queue("fast").name)
            _goes_on(stack, worker, kind)
    until(lambda: len(stack.refused_messages()) == len(UNREADABLE))
    assert stack.attempts("1") == []


def _goes_on(stack: Stack, worker: Role, kind: str) -> None:
    """A job behind the message succeeds, and the worker is the one that it was."""
    job_id = stack.submit("trials.echo", value=kind).id
    with suppress(TimeoutError):
        until(lambda: stack.job(job_id).state in ENDED or worker.process.poll() is not None, seconds=10)
    assert (stack.job(job_id).state, worker.process.poll()) == (State.SUCCEEDED, None), kind

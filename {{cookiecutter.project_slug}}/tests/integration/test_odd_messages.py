"""Messages that no caller of this service would send: on either broker they end no worker, and are kept."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from kombu import Connection

from service import NAME
from service.config import settings
from service.jobs import State
from tests.support.stack import Stack, until

HEAD = {"task": "trials.echo", "id": "1"}
BODY = "[[], {}, {}]"
OLD = {"task": "trials.echo", "id": "1", "args": [], "kwargs": {}}

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
    "limits that are a number": (HEAD | {"timelimit": 5}, BODY, {}),
    "limits that are objects": (HEAD | {"timelimit": [{}, {}]}, BODY, {}),
    "limits beyond all clocks": (HEAD | {"timelimit": [1e300, 1e300]}, BODY, {}),
    "a time that is a number": (HEAD | {"eta": 0}, BODY, {}),
    "a time that is an object": (HEAD | {"eta": {}}, BODY, {}),
    "an end that is an object": (HEAD | {"expires": {}}, BODY, {}),
    "stamps that are a number": (HEAD | {"stamped_headers": 5}, BODY, {}),
    "a body that is a number": (HEAD, "5", {}),
    "a body that is a short list": (HEAD, "[1]", {}),
    "a body of other parts": (HEAD, "[1, 2, 3]", {}),
    "a body that is nothing": (HEAD, "", {}),
    "a body that is deep": (HEAD, "[" * 5000, {}),
    "a body that is huge": (HEAD, json.dumps([["x" * 5_000_000], {}, {}]), {}),
    "a body of bytes": (HEAD, b"\xff\xfe", {}),
    "no type that is known": (HEAD, BODY, {"content_type": "application/data"}),
    "a packed body": (HEAD | {"compression": "application/x-gzip"}, zlib.compress(BODY.encode()), {}),
}


@pytest.mark.slow
def test_no_odd_message_ends_a_worker_whichever_the_broker(stack: Stack) -> None:
    worker = stack.start("worker", "fast")
    with Connection(settings().broker_url.get_secret_value()) as connection:
        for kind, (head, body, about) in ODD.items():
            said = {"content_type": "application/json", "content_encoding": "utf-8", **about}
            raw = body.encode() if isinstance(body, str) else body
            connection.Producer().publish(raw, routing_key=f"{NAME}.fast", headers={**head}, **said)
            (done,) = stack.ended(stack.submit("trials.echo", value=kind).id, seconds=10)
            assert (done.state, worker.process.poll()) == (State.SUCCEEDED, None), kind
    until(lambda: len(stack.refused_messages()) == len(ODD))
    assert stack.attempts("1") == []

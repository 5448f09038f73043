"""What a queue may hold that is no message, or one that nobody should act upon."""

import base64
import json

from service import NAME

DELIVERY = {"exchange": "", "routing_key": f"{NAME}.fast"}


def encoded(body: str) -> str:
    """As kombu puts a body into a message."""
    return base64.b64encode(body.encode()).decode()


def message(**changed: object) -> str:
    """A message as kombu writes it, but for these parts."""
    whole = {
        "body": encoded("[[], {}, {}]"),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "trials.echo", "id": "1"},
        "properties": {"delivery_tag": "1", "delivery_info": DELIVERY, "body_encoding": "base64"},
    }
    return json.dumps(whole | changed)


DEEP = "[" * 400 + "]" * 400

GARBAGE = {
    "text": "not json",
    "bytes": b"\xff\xfe",
    "a list": "[]",
    "a message in a list": f'[{message()}, "", "x"]',
    "null": "null",
    "a number": "1e400",
    "nested": "[" * 5000,
    "bytes that are a number": '{"__type__": "bytes", "__value__": 5}',
    "a decimal that is none": '{"__type__": "decimal", "__value__": "x"}',
    "a type that is a list": '{"__type__": [], "__value__": 5}',
    "empty": "{}",
    "parts missing": '{"body": "bm90IGpzb24=", "content-type": "application/json"}',
    "parts that are none": '{"body": 1, "properties": 1, "headers": 1}',
    "a body that is no base64": message(body="a"),
    "an unknown type": message(**{"content-type": "application/x-python-serialize"}),
    "a task that is a list": message(headers={"task": ["trials.echo"], "id": "1"}),
    "an id that is a list": message(headers={"task": "trials.echo", "id": ["1"]}),
    "no headers": message(headers=None),
    "a body that is a number": message(body=encoded("5")),
    "a body that is null": message(body=encoded("null")),
    "a body that is a short list": message(body=encoded("[1]")),
    "a body that is an object": message(body=encoded('{"a": 1}')),
    "a body of wrong parts": message(body=encoded("[1, 2, 3]")),
    "a body that is deep": message(body=encoded("[[" + DEEP + "], {}, {}]")),
    "a header that is deep": message(headers={"task": "trials.echo", "id": "1", "x": 5}).replace("5", DEEP),
    "a body of a type that is none": message(body=encoded('[[{"__type__": "uuid", "__value__": 5}], {}, {}]')),
    "a time that is nothing": message(headers={"task": "trials.echo", "id": "1", "eta": 0}),
    "an end that is nothing": message(headers={"task": "trials.echo", "id": "1", "expires": {}}),
    "data": message(**{"content-type": "application/data", "content-encoding": "zlib_codec"}),
    "the old protocol": message(headers={}, body=encoded('{"task": "trials.echo", "id": {"a": 1}}')),
    "the old protocol with a limit": message(
        headers={"durable": True}, body=encoded('{"task": "trials.echo", "id": "1", "timelimit": "ab"}')
    ),
    "an id without end": message(headers={"task": "trials.echo", "id": "1" * 5000}),
    "a bomb": message(headers={"task": "trials.echo", "id": "1", "compression": "application/x-gzip"}),
}


def call(**headers: object) -> str:
    """A plain call of a task that refuses it, with these headers besides."""
    return message(headers={"task": "trials.echo", "id": "1"} | headers)


# Of these it is not even looked at what is odd.
UNHEEDED = {
    "no delivery": message(properties={}),
    "a tag that is none": message(properties={"delivery_tag": {}, "delivery_info": 5}),
    "a body in no known encoding": message(
        properties={"delivery_tag": "1", "delivery_info": DELIVERY, "body_encoding": "rot"}
    ),
    "an encoding that is none": message(**{"content-encoding": 1}),
    "a limit that is none": call(timelimit="xy"),
    "limits of none": call(timelimit=[{}, {}]),
    "a limit beyond all clocks": call(timelimit=[10**400, 10**400]),
    "a doorbell with a limit": call(durable=True, timelimit=[None, 1]),
    "a name that is a list": call(shadow=["x"]),
    "stamps that are a number": call(stamped_headers=5),
}

"""What the present releases of Celery and kombu need mending in; faults L15, L16 and U10 show each of it."""

import base64
from contextlib import suppress
from typing import Any

import amqp
from amqp import serialization
from billiard import pool
from celery.backends.base import DisabledBackend
from celery.worker.control import Panel
from kombu import compression, pidbox
from kombu.transport import redis
from kombu.utils.json import loads

# A content type that no consumer accepts, under which what is not even JSON reaches the consumer's own error handling.
GARBAGE = "application/x-garbage"

# Bytes that are read as a message: taken apart it needs ten times as much memory. And characters of what it says of
# itself.
MAX_ELEMENT, MAX_TEXT = 4 * 1024 * 1024, 1000


def apply() -> None:
    """Apply all of them; again is harmless."""
    redis.Channel._connparams = _connparams
    redis.loads = _loads
    redis.Transport._deliver = _deliver
    # A child that ends waits 30 s for a parent that listens no more; what it has to say is in its job's row already.
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10
    # Whoever reaches the broker could stop a worker, or lift its limits; what looks is left to Flower. `hello` also
    # revokes; and a pattern for workers' names may be one that takes for ever to match.
    Panel.data = {k: Panel.data[k] for k, v in Panel.meta.items() if v.type == "inspect" and k != "hello"}
    pidbox.match = lambda *_: False
    # There are no results to mark; it would run what a message names as its errbacks, in the worker's own loop.
    DisabledBackend.mark_as_failure = lambda *_, **__: None
    # Nothing of this service is packed, and a little of it may unpack to all the memory there is.
    compression._decoders.clear()
    # What py-amqp cannot read of a message would end the worker, and the next one, too. And a body is bytes here,
    # whatever its encoding says: some take for ever.
    serialization.PROPERTY_CLASSES[amqp.spec.Basic.CLASS_ID] = _properties
    amqp.Channel.auto_decode = property(lambda _: False, lambda *_: None)


# kombu 5.7.0: when Redis goes away while a message is unacknowledged, closing the channel reads a parameter of a client
# that is gone, and the AttributeError ends the worker. A connection error makes it connect again instead.
_stock_connparams = redis.Channel._connparams


def _connparams(channel: Any, asynchronous: bool = False) -> Any:
    if channel.connection is None or channel.connection.client is None:
        raise ConnectionError("the broker's connection is gone")
    return _stock_connparams(channel, asynchronous=asynchronous)


# kombu 5.7.0: an element of the queue that is huge, or no whole message, ends the worker, or its connection.
_stock_deliver = redis.Transport._deliver


def _loads(text: str | bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return loads(text) if len(text) <= MAX_ELEMENT else text[:MAX_ELEMENT]
    return text


def _deliver(transport: Any, message: Any, queue: str) -> None:
    if not _readable(message):
        about = {"delivery_tag": "garbage", "delivery_info": {"exchange": "", "routing_key": queue}}
        empty = {"content-type": GARBAGE, "content-encoding": "binary", "headers": {}}
        message = empty | {"properties": about, "body": str(message)}
    _stock_deliver(transport, message, queue)


def _readable(message: Any) -> bool:
    """Whether kombu can take it in hand; whether it is a task's call is for the consumer to say."""
    try:
        about, where = message["properties"], message["properties"]["delivery_info"]
        texts = [about["delivery_tag"], where["exchange"], where["routing_key"], message["content-encoding"]]
        base64.b64decode(message["body"])
        known = about["body_encoding"] == "base64" and isinstance(message["headers"], dict)
        return known and {*map(type, texts)} == {str} and max(map(len, texts)) <= MAX_TEXT
    except (KeyError, TypeError, ValueError):
        return False


def _properties(buffer: Any, offset: int) -> tuple[dict[str, Any], int]:
    try:
        return serialization.decode_properties_basic(buffer, offset)  # type: ignore[no-any-return]
    except Exception:
        return {"content_type": GARBAGE, "content_encoding": "binary"}, len(buffer)

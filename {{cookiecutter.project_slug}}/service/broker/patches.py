"""What the present releases of kombu and py-amqp need mending in; faults L15, L16 and U10 show each of it."""

import base64
from contextlib import suppress
from typing import Any
from uuid import uuid4

import amqp
from amqp import serialization
from kombu import compression
from kombu.transport import redis
from pydantic_core import from_json

from service.broker import trips

# Bytes that are read as a message: taken apart it needs ten times as much memory. And characters of what it says of
# itself.
MAX_ELEMENT, MAX_TEXT = 4 * 1024 * 1024, 1000


def apply() -> None:
    """Apply all of them; again is harmless."""
    trips.apply()
    redis.Channel._connparams = _connparams
    redis.loads = _loads
    redis.Transport._deliver = _deliver
    redis.QoS.restore_by_tag = _restore_by_tag
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
    # It knows no types of its own, which raise whatever they like, and 200 levels, which can be written again.
    with suppress(ValueError):
        return from_json(text) if len(text) <= MAX_ELEMENT else text[:MAX_ELEMENT]
    return text


def _deliver(transport: Any, message: Any, queue: str) -> None:
    """What this service would have sent, of what came; whether it is a task's call is for the consumer to say."""
    # Many under one tag of their own would count as one, and all be fetched at once.
    about = {"delivery_tag": str(uuid4()), "delivery_info": {"exchange": "", "routing_key": queue}}
    try:
        base64.b64decode(message["body"])
        whole = {"headers": {**message["headers"]}, "body": message["body"], "content-type": message["content-type"]}
        about["body_encoding"] = "base64"
    except Exception:
        # Of no type that is a call's.
        whole = {"headers": {}, "body": str(message)}
    _stock_deliver(transport, whole | {"properties": about, "content-encoding": "utf-8"}, queue)


# kombu 5.7.0: an entry of what is unacknowledged that holds no message ends the worker, and each one after it.
_stock_restore = redis.QoS.restore_by_tag


def _restore_by_tag(qos: Any, tag: Any, *args: Any, **kwargs: Any) -> None:
    try:
        _stock_restore(qos, tag, *args, **kwargs)
    except qos.channel.connection_errors:
        raise
    except Exception:
        qos._remove_from_indices(tag).execute()


def _properties(buffer: Any, offset: int) -> tuple[dict[str, Any], int]:
    try:
        return serialization.decode_properties_basic(buffer, offset)  # type: ignore[no-any-return]
    except Exception:
        return {}, len(buffer)

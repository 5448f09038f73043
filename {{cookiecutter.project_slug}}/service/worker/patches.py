"""What the present releases of Celery and kombu need mending in; a canary test says when a patch can go."""

import base64
from typing import Any

from kombu.transport import redis
from kombu.utils.json import loads

# A content type that no consumer accepts, under which what is not even JSON reaches the consumer's own error handling.
GARBAGE = "application/x-garbage"


def apply() -> None:
    """Apply all of them; again is harmless."""
    redis.Channel._connparams = _connparams
    redis.loads = _loads


# kombu 5.7.0: when Redis goes away while a message is unacknowledged, closing the channel reads a parameter of a client
# that is gone, and the AttributeError ends the worker. A connection error makes it connect again instead.
_stock_connparams = redis.Channel._connparams


def _connparams(channel: Any, asynchronous: bool = False) -> Any:
    if channel.connection is None or channel.connection.client is None:
        raise ConnectionError("the broker's connection is gone")
    return _stock_connparams(channel, asynchronous=asynchronous)


# kombu 5.7.0: an element of the queue that is not a message's JSON ends the worker, or its connection.
def _loads(text: str) -> Any:
    try:
        message = loads(text)
        if isinstance(message, list) or {"body", "properties", "headers"} <= message.keys():
            return message
    except (ValueError, AttributeError):
        pass
    return {
        "body": base64.b64encode(str(text).encode()).decode(),
        "content-type": GARBAGE,
        "content-encoding": "binary",
        "headers": {},
        "properties": {
            "delivery_tag": "garbage",
            "delivery_info": {"exchange": "", "routing_key": ""},
            "body_encoding": "base64",
        },
    }

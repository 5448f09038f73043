"""What the present releases of Celery and kombu need mending in; faults L15, L16 and U10 show each of it."""

import base64
from contextlib import suppress
from typing import Any

from billiard import pool
from celery.backends.base import DisabledBackend
from celery.worker.control import Panel
from kombu import pidbox
from kombu.transport import redis
from kombu.utils.json import loads

# A content type that no consumer accepts, under which what is not even JSON reaches the consumer's own error handling.
GARBAGE = "application/x-garbage"

# Bytes of an element that are read as a message: taken apart it needs ten times as much memory. And characters of what
# a message says of itself.
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
    if not _whole(message):
        about = {"delivery_tag": "garbage", "delivery_info": {"exchange": "", "routing_key": queue}}
        empty = {"content-type": GARBAGE, "content-encoding": "binary", "headers": {}}
        message = empty | {"properties": about, "body": str(message)}
    _stock_deliver(transport, message, queue)


def _whole(message: Any) -> bool:
    try:
        head, about = message["headers"], message["properties"]
        body = loads(base64.b64decode(message["body"]))
        known = (message["content-type"], about["body_encoding"]) == ("application/json", "base64")
        # What a task is called with, and when; remote control names none, and Celery's old protocol names it in here.
        shaped = [*map(type, body)] == [list, dict, dict] if head.get("task") else "task" not in {**body}
        texts = [message["content-encoding"], head.get("task", ""), head.get("id", "")]
        times = [head[name] for name in ("eta", "expires") if head.get("task") and head.get(name) is not None]
        texts += [about["delivery_tag"], about["delivery_info"]["exchange"], about["delivery_info"]["routing_key"]]
        soft, hard = head.get("timelimit") or (None, None)
        # Seconds that a clock can count; others end the worker.
        limits = [0 < limit < 1e6 for limit in (soft, hard) if limit is not None]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return False
    # Nothing of this service is packed or stamped, and a doorbell has no limits of its own: the task's are what counts.
    packed = head.get("compression") or head.get("stamped_headers") or (limits and head.get("durable"))
    plain = {*map(type, texts + times)} <= {str} and max(map(len, texts)) <= MAX_TEXT
    return known and shaped and plain and not packed and all([*limits, *times])

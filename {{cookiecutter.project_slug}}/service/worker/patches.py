"""What Celery's and kombu's present releases need mending in; each patch names the release it is for."""

from typing import Any

from kombu.transport import redis


def apply() -> None:
    """Apply all of them; again is harmless."""
    # kombu 5.7.0: when Redis goes away while a message is unacknowledged, closing the channel reads a parameter of a
    # client that is gone, and the AttributeError ends the worker. A connection error makes it connect again instead.
    original = redis.Channel._connparams
    if getattr(original, "mended", False):
        return

    def _connparams(self: Any, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("the broker's connection is gone")
        return original(self, asynchronous=asynchronous)

    _connparams.mended = True  # type: ignore[attr-defined]
    redis.Channel._connparams = _connparams

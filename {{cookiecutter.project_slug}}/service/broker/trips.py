"""Fewer trips to Redis than kombu makes: noting, acknowledging and fetching each message is most that the parent does.

An acknowledgement goes with the note of the next message, or within a second, unless it is that of a `.delay()` task:
a doorbell that comes again finds that its job has ended. So what a killed worker had not told does no harm, nor what
one that stops keeps until its end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kombu
from kombu.asynchronous import get_event_loop
from kombu.transport.redis import Channel, QoS

# The releases whose inside it knows; with others, kombu's own ways are taken.
KNOWN = (5, 7)


class Trips(QoS):  # type: ignore[misc]  # kombu has no types
    """What a channel has in hand; what kombu calls dirty of it is done, and is told with the next trip."""

    def ack(self, delivery_tag: str) -> None:
        # Greenlets have no loop of kombu's, whose timer comes by each second, nor has a channel that is closed. What
        # came over one may be unknown by now.
        late = get_event_loop() is not None and not self.channel.closed
        if late and (message := self._delivered.get(delivery_tag)) and message.headers.get("durable"):
            self._quick_ack(delivery_tag)
        else:
            super().ack(delivery_tag)

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        with super().pipe_or_acquire(pipe, client) as made:
            if self._dirty and pipe is None:
                made.zrem(self.unacked_index_key, *self._dirty).hdel(self.unacked_key, *self._dirty)
            yield made

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        self._tell()
        super().restore_visible(*args, **kwargs)

    def restore_unacked_once(self, *args: Any, **kwargs: Any) -> None:
        self._on_collect.cancel()
        self._tell()
        super().restore_unacked_once(*args, **kwargs)
        # The channel ends, and has closed its pools before: what was opened for this is left open by kombu.
        self.channel._disconnect_pools()

    def _tell(self) -> None:
        with self.pipe_or_acquire() as made:
            made.execute()
        self._flush()


def apply() -> None:
    """Apply it; again is harmless."""
    if kombu.VERSION[:2] == KNOWN:
        Channel.QoS = Trips

"""A receiver of webhooks: a real server that keeps what it was sent, and answers as the test wants."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.support.listener import Listener, Request, Response


@dataclass(frozen=True)
class Sent:
    """One request as it arrived."""

    at: float
    headers: Mapping[str, str]
    body: str


Answer = tuple[int, dict[str, str]]


class Receiver(Listener):
    """Its address is `url`."""

    def __init__(self, host: str = "127.0.0.1", answer: Callable[[Sent], Answer] = lambda _: (204, {})) -> None:
        super().__init__(host)
        self.url += "/hook"
        self.sent: list[Sent] = []
        self.answer = answer
        # How many requests were there at once, at most.
        self.together = 0
        self._present = 0
        self._lock = threading.Lock()

    @property
    def ids(self) -> list[str]:
        """The ids of the messages, as they came."""
        return [sent.headers["webhook-id"] for sent in self.sent]

    def respond(self, request: Request) -> Response:
        """Keep it, and answer as the test wants."""
        status, headers = self._take(Sent(time.monotonic(), request.headers, request.body.decode()))
        return status, headers, b""

    def _take(self, sent: Sent) -> Answer:
        with self._lock:
            self.sent.append(sent)
            self._present += 1
            self.together = max(self.together, self._present)
        try:
            return self.answer(sent)
        finally:
            with self._lock:
                self._present -= 1

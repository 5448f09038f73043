"""A receiver of webhooks: a real server that keeps what it was sent, and answers as the test wants."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Sent:
    """One request as it arrived."""

    at: float
    headers: Mapping[str, str]
    body: str


Answer = tuple[int, dict[str, str]]


class Receiver:
    """Answers on an address of this machine; 127.0.0.2 is another host than 127.0.0.1."""

    def __init__(self, host: str = "127.0.0.1", answer: Callable[[Sent], Answer] = lambda _: (204, {})) -> None:
        self.sent: list[Sent] = []
        self.answer = answer
        # How many requests were there at once, at most.
        self.together = 0
        self._present = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}/hook"

    @property
    def ids(self) -> list[str]:
        """The ids of the messages, as they came."""
        return [sent.headers["webhook-id"] for sent in self.sent]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                sent = Sent(time.monotonic(), {name.lower(): value for name, value in self.headers.items()}, body)
                status, headers = receiver._take(sent)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler

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

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

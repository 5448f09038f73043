"""A Sentry of the tests' own: a real server that keeps the envelopes it is sent."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Sentry:
    """Listens on an address of this machine; `dsn` is what a service is given."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.dsn = f"http://key@127.0.0.1:{self._server.server_port}/1"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The error events, as they came."""
        return [item for kind, item in self._items() if kind == "event"]

    @property
    def check_ins(self) -> list[dict[str, Any]]:
        """What the monitors of the schedule were told."""
        return [item for kind, item in self._items() if kind == "check_in"]

    def of(self, job_id: str) -> list[dict[str, Any]]:
        """The error events of one job."""
        return [event for event in self.events if event["tags"].get("job_id") == job_id]

    def _items(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for body in self.bodies:
            lines = [json.loads(line) for line in body.splitlines() if line]
            found += [(head["type"], item) for head, item in zip(lines[1::2], lines[2::2], strict=True)]
        return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sentry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                packed = self.headers.get("content-encoding") == "gzip"
                sentry.bodies.append((gzip.decompress(body) if packed else body).decode())
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

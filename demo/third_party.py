"""A third party for the service to call: it hears messages, is down once, and does not know one address."""

import json
import threading
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ThirdParty(ThreadingHTTPServer):
    """An HTTP server on a free port that counts the messages it took."""

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.heard: Counter[str] = Counter()
        self.down_once = threading.Semaphore(1)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        """The address of one of its paths: /ok, /down-once or /gone."""
        return f"http://{self.server_address[0]!s}:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    """Answers 200, and 503 to the first message to /down-once, and 404 to every message to /gone."""

    server: ThirdParty

    def do_POST(self) -> None:
        """Take a message, or say why not."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/gone":
            status = HTTPStatus.NOT_FOUND
        elif self.path == "/down-once" and self.server.down_once.acquire(blocking=False):
            status = HTTPStatus.SERVICE_UNAVAILABLE
        else:
            status = HTTPStatus.OK
            self.server.heard[body["message"]] += 1
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Say nothing: the table says what was heard."""

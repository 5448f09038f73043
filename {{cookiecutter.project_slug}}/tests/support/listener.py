"""A real HTTP server of the tests' own: whoever inherits it says what it answers."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

# A status, headers and a body; a body in pieces is sent as they come, and its headers say how long it is.
Response = tuple[int, Mapping[str, str], bytes | Iterator[bytes]]


@dataclass(frozen=True)
class Request:
    """One request as it arrived; the names of its headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Listener:
    """Listens from its making on, and answers within `with`; 127.0.0.2 is another host than 127.0.0.1."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://{host}:{self.port}"

    def respond(self, request: Request) -> Response:
        """What is answered; requests that come together are answered together."""
        raise NotImplementedError

    def listen(self, many: int) -> None:
        """Let so many connect at once; otherwise a few, and the others try again after a second."""
        self._server.socket.listen(many)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, added, said = listener.respond(Request(self.command, self.path, headers, body))
                self.send_response(status)
                for name, value in added.items():
                    self.send_header(name, value)
                if isinstance(said, bytes):
                    self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                for piece in [said] if isinstance(said, bytes) else said:
                    self.wfile.write(piece)

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self._answer
                raise AttributeError(name)

            def handle(self) -> None:
                # A caller that was killed, or that has lost its patience, is not there any more.
                with suppress(ConnectionError):
                    super().handle()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

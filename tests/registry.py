"""A registry that answers as Docker's does when asked whether it has an image."""

import base64
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Self
from urllib.parse import parse_qs, urlsplit

TOKEN = "let-this-one-in"


class Registry(ThreadingHTTPServer):
    """Has `images` (as name:tag); lets in everybody, or `user` alone, by `door` ("", "Basic", "Bearer")."""

    def __init__(self, *images: str, door: str = "", user: tuple[str, str] = ("ci", "password")) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.images, self.door = set(images), door
        self.basic = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        self.silent, self.over = False, Event()
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        """Answer."""
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""
        self.over.set()
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        """What an image's address begins with."""
        return f"127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """One question."""

    server: Registry

    def do_HEAD(self) -> None:
        """/v2/NAME/manifests/TAG."""
        self.server.asked.append(self.path)
        if self.server.silent:
            self.server.over.wait()
        shown = self.headers.get("Authorization", "")
        expected = {"": shown, "Basic": self.server.basic, "Bearer": f"Bearer {TOKEN}"}[self.server.door]
        if shown != expected:
            self.send_response(401)
            realm = f'Bearer realm="http://{self.server.address}/token?of=this",service="this registry"'
            self.send_header(
                "WWW-Authenticate", realm if self.server.door == "Bearer" else 'Basic realm="this registry"'
            )
        else:
            name, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
            # A registry that is not asked for an index gives an index's first image, or says that there is none.
            known = f"{name}:{tag}" in self.server.images and "oci.image.index" in self.headers.get("Accept", "")
            self.send_response(200 if known else 404)
        self.end_headers()

    def do_GET(self) -> None:
        """/token?service=…&scope=…, with the password."""
        self.server.asked.append(self.path)
        asked = parse_qs(urlsplit(self.path).query)
        good = self.headers.get("Authorization") == self.server.basic and asked.get("service") == ["this registry"]
        body = f'{{"token": "{TOKEN}"}}'.encode() if good and asked["scope"] == ["repository:team/desk:pull"] else b"{}"
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

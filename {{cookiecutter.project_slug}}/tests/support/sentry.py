"""A Sentry of the tests' own: a real server that keeps the envelopes it is sent."""

import gzip
import json
from typing import Any

from tests.support.listener import Listener, Request, Response


class Sentry(Listener):
    """`dsn` is what a service is given."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[str] = []
        self.dsn = f"http://key@127.0.0.1:{self.port}/1"

    def respond(self, request: Request) -> Response:
        """Keep it."""
        packed = request.headers.get("content-encoding") == "gzip"
        self.bodies.append((gzip.decompress(request.body) if packed else request.body).decode())
        return 200, {}, b"{}"

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

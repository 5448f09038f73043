"""A stand-in for Datadog: answers, over real HTTP, as its API does to the calls that `deploy/monitors` makes."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.listener import Listener, Request, Response

KEYS = {"dd-api-key": "an-api-key", "dd-application-key": "an-application-key"}

QUERY = re.compile(
    r"((avg|max|min|sum)\(last_\d+[mhdw]\)|change\((avg|max|min|sum)\(last_\d+[mh]\),last_\d+[mhd]\)):"
    r"(?P<what>.+) [<>]=? (?P<critical>[0-9.]+)"
)

Answer = tuple[int, Any]


class Datadog(Listener):
    """Monitors and dashboards by their ids, and the calls that were made."""

    def __init__(self) -> None:
        super().__init__()
        self.monitors: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        # Answers to give before its own, in order: a status and headers.
        self.faults: list[tuple[int, dict[str, str]]] = []
        # Why it refuses to judge any definition well.
        self.refuses = ""
        self._ids = iter(range(1000, 10_000))

    @property
    def writes(self) -> list[str]:
        """The calls that change something."""
        return [call for call in self.calls if not call.startswith("GET ") and not call.endswith("/validate")]

    def respond(self, request: Request) -> Response:
        """Answer as Datadog does, or as it was told to."""
        parts = urlsplit(request.target)
        self.calls.append(f"{request.method} {parts.path}")
        status, headers, said = 403, dict[str, str](), {"errors": ["Forbidden"]}
        if self.faults:
            (status, headers), said = self.faults.pop(0), {"errors": ["not now"]}
        elif all(request.headers.get(name) == value for name, value in KEYS.items()):
            body = json.loads(request.body) if request.body else None
            status, said = self.answer(request.method, parts.path, parse_qs(parts.query), body)
        return status, {**headers, "Content-Type": "application/json"}, json.dumps(said).encode()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:
        """What Datadog says to a call."""
        kind, *rest = path.removeprefix("/api/v1/").split("/")
        shelf = {"monitor": self.monitors, "dashboard": self.dashboards}[kind]
        if rest[-1:] == ["validate"]:
            return self._judge(body)
        if rest and rest[0] not in shelf:
            return 404, {"errors": [f"{kind.title()} not found"]}
        if method == "GET":
            return 200, shelf[rest[0]] if rest else self._list(kind, query)
        if method == "DELETE":
            del shelf[rest[0]]
            return 200, {f"deleted_{kind}_id": int(rest[0]) if kind == "monitor" else rest[0]}
        if kind == "monitor" and (refused := self._judge({**shelf.get(rest[0] if rest else "", {}), **body}))[0] != 200:
            return refused
        key = rest[0] if rest else f"{next(self._ids)}"
        shelf[key] = self._stored(kind, key, {**shelf.get(key, {}), **body})
        return 200, shelf[key]

    def _list(self, kind: str, query: dict[str, list[str]]) -> Any:
        if kind == "dashboard":
            count, start = int(query["count"][0]), int(query.get("start", ["0"])[0])
            found = list(self.dashboards.values())[start : start + count]
            names = ("id", "title", "description", "layout_type")
            return {"dashboards": [{name: each.get(name) for name in names} for each in found]}
        size, page = int(query["page_size"][0]), int(query.get("page", ["0"])[0])
        wanted = set(query["monitor_tags"][0].split(","))
        found = [each for each in self.monitors.values() if wanted <= set(each["tags"])]
        return found[page * size : (page + 1) * size]

    def _judge(self, body: dict[str, Any]) -> Answer:
        if self.refuses:
            return 400, {"errors": [self.refuses]}
        match = QUERY.fullmatch(body["query"])
        if not match:
            return 400, {"errors": ["The value provided for parameter 'query' is invalid"]}
        critical, asked = body["options"]["thresholds"]["critical"], float(match["critical"])
        if critical != asked:
            return 400, {"errors": [f"Alert threshold ({critical}) does not match that used in the query ({asked})."]}
        return 200, {}

    def _stored(self, kind: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        """As Datadog gives it back: with an id, defaults that nobody asked for, and tags in another order."""
        if kind == "dashboard":
            widgets = [{"id": number, **widget} for number, widget in enumerate(body["widgets"])]
            return {**body, "id": key, "url": f"/dashboard/{key}", "notify_list": [], "widgets": widgets}
        options = {"new_host_delay": 300, "notify_audit": False, "silenced": {}, **body["options"]}
        tags = sorted(body["tags"], reverse=True)
        return {**body, "id": int(key), "tags": tags, "options": options, "overall_state": "OK", "multi": False}

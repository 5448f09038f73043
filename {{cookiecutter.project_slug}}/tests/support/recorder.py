"""Servers that keep what they were sent, and answer as a channel does: well, badly, or not at all."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.listener import Listener, Request, Response
from tests.support.waiting import until


@dataclass(frozen=True)
class Call:
    """One request as it arrived; `body` is its JSON."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def well(call: Call) -> Response:
    """As one that took it."""
    return 202, {}, b'{"status": "ok"}'


def status(number: int, **headers: str) -> Callable[[Call], Response]:
    """As one in trouble, whose words hold what it was sent, as some servers' do."""
    return lambda call: (number, headers, json.dumps({"error": str(call.headers), "of": call.body}).encode())


class Recorder(Listener):
    """Answers as the test wants."""

    def __init__(self, answer: Callable[[Call], Response] = well) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.answer = answer
        self._gone = threading.Event()

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [str(call) for call in self.calls]

    def hang(self, call: Call) -> Response:
        """As one that never answers."""
        self._gone.wait()
        return well(call)

    def dribble(self, call: Call) -> Response:
        """As one that answers so slowly that no single read takes too long; its body is sent a byte at a time."""
        return 200, {"Content-Length": "1000"}, self._drops(1000)

    def respond(self, request: Request) -> Response:
        """Keep it, and answer."""
        parts = urlsplit(request.target)
        content = json.loads(request.body) if request.body else None
        call = Call(request.method, parts.path, dict(parse_qsl(parts.query)), request.headers, content)
        self.calls.append(call)
        return self.answer(call)

    def come(self, count: int) -> None:
        """Wait until so many calls have arrived."""
        until(lambda: len(self.calls) >= count)

    def _drops(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b" "
            if self._gone.wait(0.1):
                return

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        super().__exit__()


class Slack(Recorder):
    """A channel of Slack's, as far as announcements use it; what it would refuse is refused."""

    token, channel, bot = "xoxb-not-for-others", "C0DEPLOYS", "B0DEPLOYS"

    def __init__(self, page_size: int = 100) -> None:
        super().__init__(self._slack)
        # Oldest first.
        self.messages: list[dict[str, Any]] = []
        self._page_size = page_size
        self._clock = itertools.count()
        self._lock = threading.Lock()

    @property
    def tops(self) -> list[dict[str, Any]]:
        """What stands in the channel itself."""
        return [each for each in self.messages if "thread_ts" not in each or each["reply_broadcast"]]

    @property
    def replies(self) -> list[dict[str, Any]]:
        """What stands in threads."""
        return [each for each in self.messages if "thread_ts" in each]

    def _slack(self, call: Call) -> Response:
        with self._lock:
            said = self._refusal(call) or getattr(self, f"_{call.path.strip('/').replace('.', '_')}")(call)
        return 200, {}, json.dumps({"ok": "error" not in said, **said}).encode()

    def _refusal(self, call: Call) -> dict[str, Any] | None:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return {"error": "invalid_auth"}
        given: Mapping[str, Any] = call.body or call.query
        if given.get("channel") != self.channel:
            return {"error": "channel_not_found"}
        for attachment in given.get("attachments", []):
            if any(len(block["text"]["text"]) > 3000 for block in attachment["blocks"] if "text" in block):
                return {"error": "invalid_blocks"}
        if len(given.get("text", "")) > 4000:
            return {"error": "msg_too_long"}
        return None if self._flat(given.get("metadata")) else {"error": "invalid_metadata_schema"}

    def _flat(self, metadata: Any) -> bool:
        """Whether metadata is what Slack's types allow: plain values, and lists of objects of plain values."""
        plain = (str, int, float, bool)
        for value in (metadata or {}).get("event_payload", {}).values():
            objects = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
            if not isinstance(value, (*plain, list, dict)):
                return False
            if not all(isinstance(each, dict) and all(isinstance(x, plain) for x in each.values()) for each in objects):
                return False
        return True

    def _auth_test(self, call: Call) -> dict[str, Any]:
        return {"bot_id": self.bot, "user_id": "U0DEPLOYS"}

    def _chat_postMessage(self, call: Call) -> dict[str, Any]:  # noqa: N802 - Slack's name
        ts = f"17{next(self._clock):08}.000100"
        thread = call.body.get("thread_ts")
        if thread and not any(each["ts"] == thread for each in self.messages):
            return {"error": "thread_not_found"}
        self.messages.append({**call.body, "bot_id": self.bot, "ts": ts})
        return {"ts": ts, "channel": self.channel}

    def _chat_update(self, call: Call) -> dict[str, Any]:
        for each in self.messages:
            if each["ts"] == call.body["ts"]:
                each.update(call.body)
                return {"ts": each["ts"], "channel": self.channel}
        return {"error": "message_not_found"}

    def _chat_delete(self, call: Call) -> dict[str, Any]:
        self.messages = [each for each in self.messages if each["ts"] != call.body["ts"]]
        return {"ts": call.body["ts"], "channel": self.channel}

    def _conversations_history(self, call: Call) -> dict[str, Any]:
        newest = self.tops[::-1]
        start = int(call.query.get("cursor", 0))
        end = start + min(int(call.query["limit"]), self._page_size)
        hidden = () if call.query.get("include_all_metadata") == "true" else ("metadata",)
        page = [{name: each[name] for name in each if name not in hidden} for each in newest[start:end]]
        more = {"next_cursor": str(end)} if end < len(newest) else {}
        return {"messages": page, "has_more": bool(more), "response_metadata": more}

"""Slack: one message for each version of the service, whatever it is deployed to, kept up to date; a thread tells how.

The pipeline's jobs share nothing, so the message is found again by its metadata, which also holds how each environment
stands: `conversations.history` with `include_all_metadata`, `chat.postMessage`, `chat.update` and `chat.delete`, as
Slack's reference of methods and "Using message metadata" have them; any app may write such metadata: `auth.test` says
which messages are this bot's. The bot is a member of the channel and has the scopes chat:write, channels:history
(groups:history in a private one) and metadata.message:read.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.announce import message
from deploy.announce.channel import Channel, News
from deploy.announce.line import Line, Odd
from deploy.history import Release

# The newest messages of the channel among which ours is looked for.
MOST_READ = 200
EVENT_TYPE = "release_announced"
# An error's code, as Slack has them; anything else may hold what we sent.
_CODE = re.compile(r"[a-z0-9_]{1,60}")


class Slack(Channel):
    """Told everything."""

    name = "Slack"
    needs = ("SLACK_BOT_TOKEN", "SLACK_CHANNEL")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._base = (environ.get("SLACK_API_URL") or "https://slack.com/api").rstrip("/")
        self._headers = {"Authorization": f"Bearer {environ['SLACK_BOT_TOKEN']}"}
        self._channel = environ["SLACK_CHANNEL"]
        self._bot: object = ""

    def tell(self, news: News, line: Line) -> None:
        release = news.release
        ours = self._find(release, release.version, line)
        body, old = _body(news, ours)
        if ours:
            ts = self._call(line, "chat.update", {"ts": ours["ts"], **body})["ts"]
        else:
            ts = self._begin(news, body, line)
        if news.moment == "started" and message.goes_on(news, old):
            return
        # Up there nobody would see an old message change, so what went wrong, or back, is said at the bottom as well.
        loud = news.moment == "failed" or (news.moment == "started" and release.change.kind == "rollback" and ours)
        self._reply(line, ts, message.reply(news), bool(loud))
        undone = release.before if (news.moment, release.change.kind) == ("succeeded", "rollback") else ""
        if undone and (other := self._find(release, undone, line)):
            self._reply(line, other["ts"], message.reply_to_undone(news), False)

    def _begin(self, news: News, body: Mapping[str, Any], line: Line) -> str:
        """Post the message, and take it back where another process was faster; gives the one that stays."""
        ts = self._call(line, "chat.postMessage", {**body, "unfurl_links": False})["ts"]
        first = self._find(news.release, news.release.version, line)
        if first is None or first["ts"] == ts:
            return str(ts)
        self._call(line, "chat.delete", {"ts": ts})
        return str(self._call(line, "chat.update", {"ts": first["ts"], **_body(news, first)[0]})["ts"])

    def _reply(self, line: Line, ts: str, text: str, loud: bool) -> None:
        reply = {"thread_ts": ts, "text": text, "reply_broadcast": loud, "unfurl_links": False}
        self._call(line, "chat.postMessage", reply)

    def _find(self, release: Release, version: str, line: Line) -> dict[str, Any] | None:
        """The message of a version; the oldest, should two processes have begun one at once."""
        read, cursor, found = 0, "", None
        self._bot = self._bot or self._call(line, "auth.test", {}).get("bot_id")
        while read < MOST_READ:
            words = {"channel": self._channel, "include_all_metadata": "true", "limit": str(MOST_READ - read)}
            page = self._call(line, "conversations.history", None, **words, **({"cursor": cursor} if cursor else {}))
            for each in page["messages"]:
                metadata = each.get("metadata") or {}
                payload = metadata.get("event_payload") or {}
                of = (each.get("bot_id"), payload.get("service"), payload.get("version"))
                is_ours = of == (self._bot, release.service, version)
                if metadata.get("event_type") == EVENT_TYPE and is_ours:
                    found = each
            read += max(len(page["messages"]), 1)
            cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                break
        return found

    def _call(self, line: Line, method: str, body: Mapping[str, Any] | None, **params: str) -> dict[str, Any]:
        """What Slack answers; it refuses with status 200, too."""
        whole = None if body is None else {"channel": self._channel, **body}
        answer = line.call("GET" if body is None else "POST", f"{self._base}/{method}", self._headers, whole, **params)
        try:
            said = answer.json()
        except ValueError:
            raise Odd("no JSON") from None
        if not isinstance(said, dict) or said.get("ok") is not True:
            code = str(said.get("error")) if isinstance(said, dict) else ""
            raise Odd(f"a refusal ({code if _CODE.fullmatch(code) else 'no code'})")
        return said


def _body(news: News, ours: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The message with this news in it, and how its environment stood before."""
    found = ours["metadata"]["event_payload"].get("environments") if ours else None
    standings = [each for each in found or [] if isinstance(each, dict) and each.get("name")]
    old = next((each for each in standings if each["name"] == news.release.environment), None)
    standings = [*(each for each in standings if each is not old), message.standing(news, old)]
    return {**message.body(news, standings), "metadata": _metadata(news.release, standings)}, old


def _metadata(release: Release, standings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    # Slack takes text, numbers, yes and no, and lists of flat objects of these.
    payload = {"service": release.service, "version": release.version, "environments": standings}
    return {"event_type": EVENT_TYPE, "event_payload": payload}

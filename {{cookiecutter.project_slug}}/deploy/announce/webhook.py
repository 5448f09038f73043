"""Whoever wants to know: every release as JSON, posted to an address of the team's own with a bearer token."""

from collections.abc import Mapping
from dataclasses import asdict

from deploy.announce.channel import LONGEST_REASON, MOST_LISTED, Channel, News, cut
from deploy.announce.line import Line


class Webhook(Channel):
    """Told when a release starts, succeeds and fails."""

    name = "the webhook"
    needs = ("ANNOUNCE_WEBHOOK_URL", "ANNOUNCE_WEBHOOK_TOKEN")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._url = environ["ANNOUNCE_WEBHOOK_URL"]
        self._headers = {"Authorization": f"Bearer {environ['ANNOUNCE_WEBHOOK_TOKEN']}"}

    def tell(self, news: News, line: Line) -> None:
        if news.moment == "progressed":
            return
        release, change = asdict(news.release), news.release.change
        commits = [
            {"id": each.id, "summary": cut(each.summary, LONGEST_REASON), "author": each.author, "url": each.url}
            for each in change.commits[:MOST_LISTED]
        ]
        del release["change"]
        body = {
            "event": news.moment,
            "at": news.at.isoformat(),
            **release,
            "kind": change.kind,
            "warning": change.warning,
            "commits": commits,
            "commits_total": change.total,
            "reason": cut(news.reason, LONGEST_REASON),
            "rolled_back": news.rolled_back,
        }
        line.call("POST", self._url, self._headers, body)

"""Datadog: an event beside the graphs for each moment of a release, and a deployment for the DORA metrics.

As Datadog's API reference has them: `POST /api/v1/events` (a text of at most 4,000 characters) and
`POST /api/v2/dora/deployment` (times in nanoseconds; the version is that of APM's deployment tracking). A deployment
is told once it is done; Datadog sees a rollback by its older version. Both need the API key alone.
"""

from collections.abc import Mapping
from datetime import datetime

from deploy import TEAM
from deploy.announce.channel import LONGEST_REASON, Channel, News, cut, plainly
from deploy.announce.line import Line

# Characters of a text, of a title, and of what groups events.
LONGEST_TEXT, LONGEST_TITLE, LONGEST_KEY = 4000, 100, 100
ALERTS = {"started": "info", "succeeded": "success", "failed": "error"}


class Datadog(Channel):
    """Told when a release starts, succeeds and fails."""

    name = "Datadog"
    needs = ("DD_API_KEY",)

    def __init__(self, environ: Mapping[str, str]) -> None:
        site = environ.get("DD_API_URL") or environ.get("DD_SITE") or "datadoghq.com"
        self._base = site if "://" in site else f"https://api.{site}"
        self._headers = {"DD-API-KEY": environ["DD_API_KEY"]}

    def tell(self, news: News, line: Line) -> None:
        if news.moment == "progressed":
            return
        release = news.release
        lines = [*plainly(release), f"Released by {release.who}", cut(news.reason, LONGEST_REASON), release.page]
        event = {
            "title": cut(news.sentence, LONGEST_TITLE),
            "text": cut("\n".join(each for each in lines if each), LONGEST_TEXT),
            "alert_type": ALERTS[news.moment],
            "aggregation_key": f"{release.service} {release.version}"[:LONGEST_KEY],
            "tags": [*_tags(news), f"env:{release.environment}", f"service:{release.service}", f"team:{TEAM}"],
        }
        line.call("POST", f"{self._base}/api/v1/events", self._headers, event)
        if news.moment == "succeeded":
            body = {"data": {"attributes": _deployment(news)}}
            line.call("POST", f"{self._base}/api/v2/dora/deployment", self._headers, body)


def _tags(news: News) -> list[str]:
    release = news.release
    return [f"version:{release.version}", f"kind:{release.change.kind}", f"outcome:{news.moment}"]


def _deployment(news: News) -> dict[str, object]:
    release = news.release
    attributes: dict[str, object] = {
        "service": release.service,
        "env": release.environment,
        "version": release.version,
        "team": TEAM,
        "started_at": _nanoseconds(news.began),
        "finished_at": _nanoseconds(news.at),
        "custom_tags": _tags(news),
    }
    if release.change.repository and len(release.version) == 40:
        attributes["git"] = {"commit_sha": release.version, "repository_url": release.change.repository}
    return attributes


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000

"""PagerDuty: who is on call sees beside an incident what was changed, and when.

A change event of the Events API v2, as PagerDuty's developer documentation ("Send a Change Event") has it: a summary
of at most 1024 characters, a source, a timestamp, details and links; it is answered with 202 and pages nobody.
"""

from collections.abc import Mapping

from deploy.announce.channel import LONGEST_REASON, Channel, News, cut, plainly
from deploy.announce.line import Line

LONGEST_SUMMARY = 1024


class PagerDuty(Channel):
    """Told when a release starts, succeeds and fails."""

    name = "PagerDuty"
    needs = ("PAGERDUTY_ROUTING_KEY",)

    def __init__(self, environ: Mapping[str, str]) -> None:
        base = environ.get("PAGERDUTY_API_URL") or "https://events.pagerduty.com"
        self._url = f"{base}/v2/change/enqueue"
        self._key = environ["PAGERDUTY_ROUTING_KEY"]

    def tell(self, news: News, line: Line) -> None:
        if news.moment == "progressed":
            return
        release = news.release
        details = {
            "environment": release.environment,
            "version": release.version,
            "version before": release.before,
            "kind": release.change.kind,
            "released by": release.who,
            "branch": release.branch,
            "changes": "\n".join(plainly(release)),
            "reason": cut(news.reason, LONGEST_REASON),
        }
        pages = {"The pipeline's run": release.page, "The commit": release.change.link("commit", release.version)}
        body = {
            "routing_key": self._key,
            "payload": {
                "summary": cut(news.sentence, LONGEST_SUMMARY),
                "timestamp": news.at.isoformat(timespec="milliseconds"),
                "source": f"{release.service} {release.environment}",
                "custom_details": {name: value for name, value in details.items() if value},
            },
            "links": [{"href": href, "text": text} for text, href in pages.items() if href],
        }
        line.call("POST", self._url, {}, body)

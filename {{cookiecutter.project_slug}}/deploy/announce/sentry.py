"""Sentry: a release with its commits, so that errors name the commits they came with, and a deploy of it.

As Sentry's API reference has them ("Create a New Release for an Organization", "Update an Organization's Release",
"Create a Deploy"). Creating a release that is there already changes nothing else and is answered with 208. The token
needs the scope org:ci, or project:releases.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from deploy.announce.channel import Channel, News
from deploy.announce.line import Line

# Characters that Sentry keeps of a commit's author and address, and of a release's version.
LONGEST_AUTHOR, LONGEST_ADDRESS, LONGEST_VERSION = 128, 75, 200


class Sentry(Channel):
    """Told when a release starts and when it succeeds; a failed one stays a release without a deploy."""

    name = "Sentry"
    needs = ("SENTRY_AUTH_TOKEN", "SENTRY_ORG", "SENTRY_PROJECT")

    def __init__(self, environ: Mapping[str, str]) -> None:
        base = (environ.get("SENTRY_URL") or "https://sentry.io").rstrip("/")
        self._url = f"{base}/api/0/organizations/{quote(environ['SENTRY_ORG'], safe='')}/releases/"
        self._projects = [environ["SENTRY_PROJECT"]]
        self._headers = {"Authorization": f"Bearer {environ['SENTRY_AUTH_TOKEN']}"}

    def tell(self, news: News, line: Line) -> None:
        if news.moment not in ("started", "succeeded"):
            return
        release = news.release
        version = release.version[:LONGEST_VERSION]
        # At the end once more: the start may have been in another process, or on a bad day.
        body = {"version": version, "projects": self._projects, "ref": version, **_commits(news)}
        if release.page:
            body["url"] = release.page
        line.call("POST", self._url, self._headers, body)
        if news.moment == "started":
            return
        mine = f"{self._url}{quote(version, safe='')}/"
        if release.change.kind == "forward":
            # What goes back stays as old as it is, so that the newest release is the newest code.
            line.call("PUT", mine, self._headers, {"dateReleased": news.at.isoformat()})
        deploy: dict[str, Any] = {
            "environment": release.environment,
            "projects": self._projects,
            "dateStarted": news.began.isoformat(),
            "dateFinished": news.at.isoformat(),
        }
        if release.page:
            deploy["url"] = release.page
        line.call("POST", f"{mine}deploys/", self._headers, deploy)


def _commits(news: News) -> dict[str, Any]:
    # A rollback's commits are undone by it, so they are none of this release.
    if news.release.change.kind not in ("forward", "disconnected"):
        return {}
    commits = [
        {
            "id": each.id,
            "message": each.message,
            "author_name": each.author[:LONGEST_AUTHOR],
            "author_email": each.email[:LONGEST_ADDRESS],
            "timestamp": each.at,
        }
        for each in news.release.change.commits
    ]
    return {"commits": commits} if commits else {}

"""Who hears of a deploy, on every channel that has its variables; a channel that fails never stops a release."""

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from deploy.announce.channel import Channel, Moment, News
from deploy.announce.datadog import Datadog
from deploy.announce.line import LIMIT_SECONDS, SLOW, Line, trouble
from deploy.announce.pagerduty import PagerDuty
from deploy.announce.sentry import Sentry
from deploy.announce.slack import Slack
from deploy.announce.webhook import Webhook
from deploy.history import Release

__all__ = ["Announcer", "Release"]

CHANNELS: tuple[type[Channel], ...] = (Slack, Sentry, Datadog, PagerDuty, Webhook)


class Announcer:
    """Tells one release to all channels side by side, each time within LIMIT_SECONDS; nothing here raises."""

    def __init__(self, release: Release, environ: Mapping[str, str]) -> None:
        self._release = release
        self._began = datetime.now(UTC)
        self._channels: list[Channel] = []
        self._said: dict[str, None] = {}
        self._troubles: dict[tuple[str, str], list[Moment]] = {}
        self._busy: dict[str, threading.Thread] = {}
        # At INFO it names every address, and that of a webhook may be a secret.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        for kind in CHANNELS:
            missing = [name for name in kind.needs if not environ.get(name)]
            if not missing:
                self._channels.append(kind(environ))
            elif len(missing) < len(kind.needs):
                wanted = " and ".join(missing)
                self._said[f"expected {wanted} to be set for {kind.name}, got: nothing; it is told nothing"] = None

    def started(self) -> None:
        """Before anything is changed."""
        self._tell("started")

    def progressed(self, target: str) -> None:
        """A target runs the version."""
        self._tell("progressed", target=target)

    def succeeded(self) -> None:
        """Every target runs it, and all is well."""
        self._tell("succeeded")

    def failed(self, reason: str, rolled_back: bool) -> None:
        """It did not go well; `rolled_back` if what was there before runs again."""
        self._tell("failed", reason=reason, rolled_back=rolled_back)

    def problems(self) -> list[str]:
        """What the channels did not hear and why, a sentence each, without a secret; empty if all went well."""
        return [
            *self._said,
            *(
                f"expected {name} to hear that it {' and '.join(dict.fromkeys(moments))}, got: {kind}; "
                "the release is not affected"
                for (name, kind), moments in self._troubles.items()
            ),
        ]

    def _tell(self, moment: Moment, target: str = "", reason: str = "", rolled_back: bool = False) -> None:
        at, deadline = datetime.now(UTC), time.monotonic() + LIMIT_SECONDS
        news = News(self._release, moment, self._began, at, target, reason, rolled_back)
        heard: dict[str, str] = {}
        # One that is still busy with what it was told last is passed over: two at once could end in the wrong order.
        free = [each for each in self._channels if each.name not in self._busy or not self._busy[each.name].is_alive()]
        for channel in free:
            thread = threading.Thread(target=_talk, args=(channel, news, deadline, heard), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                heard[channel.name] = trouble(error)
            else:
                self._busy[channel.name] = thread
        for channel in free:
            if channel.name in self._busy:
                self._busy[channel.name].join(max(0.0, deadline - time.monotonic()))
        for channel in self._channels:
            if kind := heard.get(channel.name, SLOW):
                self._troubles.setdefault((channel.name, kind), []).append(moment)


def _talk(channel: Channel, news: News, deadline: float, heard: dict[str, str]) -> None:
    try:
        with Line(deadline) as line:
            channel.tell(news, line)
    except Exception as error:  # whatever it is, it must not stop a release
        heard[channel.name] = trouble(error)
    else:
        heard[channel.name] = ""

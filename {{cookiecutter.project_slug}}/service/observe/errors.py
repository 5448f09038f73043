"""Error events: Sentry, where SENTRY_DSN says so; otherwise it is not even imported.

A line of the log at level ERROR or above is an event, if it is the service's own or came with an exception. What will
be tried again has no such line, and a dead letter has one, wherever its last attempt ended.
"""

import atexit
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from service.config import Settings
from service.errors import StartRefused
from service.observe import exceptions
from service.observe.values import SHOWN, shown

# Seconds, at the end of a process, for events that are not sent yet.
FLUSH_SECONDS = 1.0

# What Sentry may not do by itself: its integrations listen to frameworks and keep what passes, and an event needs no
# more than the logs say.
OFF = ["default_integrations", "send_default_pii", "send_client_reports", "auto_session_tracking"]
OFF += ["include_local_variables", "include_source_context"]

# What is left of an event, of each exception in it, and of each place that it passed.
KEPT = ("event_id", "timestamp", "platform", "level", "logger", "release", "environment", "server_name", "sdk")
KEPT_CHECKIN = ("type", "event_id", "monitor_slug", "check_in_id", "status", "environment", "release", "monitor_config")
KEPT_PLACE = ("filename", "function", "module", "lineno", "in_app")

# What an event can be searched by.
TAGS = ("job_id", "task", "queue", "attempt", "client", "request_id", "error")

# Minutes that a run of the schedule may begin late before Sentry calls it missed.
MARGIN_MINUTES = 5

# Marks, in the hint, an event whose words come from a line of the log.
REDACTED = "redacted"

_on = False


def configure(settings: Settings, role: str) -> None:
    """Send events to Sentry, scrubbed by the logs' own list.

    Raises:
        StartRefused: SENTRY_DSN is no address of a Sentry project.
    """
    global _on
    dsn = settings.sentry_dsn.get_secret_value()
    if not dsn:
        return
    import sentry_sdk
    from sentry_sdk.utils import BadDsn

    options: Any = dict.fromkeys(OFF, False) | {"max_breadcrumbs": 0, "before_send": scrub, "server_name": role}
    options |= {"dsn": dsn, "release": settings.service_version, "environment": settings.environment}
    begin = partial(sentry_sdk.init, **options)
    try:
        begin()
    except BadDsn as error:
        remedy = "copy it from the project's settings in Sentry, or leave it empty"
        raise StartRefused(f"expected SENTRY_DSN to be a project's address, got: something else; {remedy}") from error
    _on = True
    # The client has a thread and locks, of which a forked child would inherit the locks alone.
    os.register_at_fork(after_in_child=begin)
    atexit.register(sentry_sdk.flush, FLUSH_SECONDS)


def report(line: Mapping[str, object], error: BaseException | None) -> None:
    """Make an event of a line of the log, and of the exception that it came with; never waits for Sentry."""
    if not _on:
        return
    import sentry_sdk
    from sentry_sdk.utils import event_from_exception

    event: Any = {"message": line["event"], "fingerprint": [line.get(name) for name in ("event", "task", "error")]}
    hint: Any = {}
    if error is not None:
        event, hint = event_from_exception(error, client_options=sentry_sdk.get_client().options)
    event["level"] = "fatal" if line["level"] == "critical" else line["level"]
    job = {name: line[name] for name in TAGS if name in line}
    event |= {"logger": line["logger"], "tags": job, "contexts": {"job": job}}
    sentry_sdk.capture_event(event, {**hint, REDACTED: True})


def check_in(slug: str, run: str, status: str, schedule: Any, max_minutes: int) -> None:
    """Say how a run of the schedule goes: "in_progress", "ok" or "error"; `run` is the id that its check-ins share."""
    if not _on:
        return
    from sentry_sdk.crons import capture_checkin

    monitor: Any = {"schedule": {"type": "crontab", "value": schedule.cron}, "timezone": schedule.timezone}
    monitor |= {"checkin_margin": MARGIN_MINUTES, "max_runtime": max_minutes}
    capture_checkin(monitor_slug=slug, check_in_id=run.replace("-", ""), status=status, monitor_config=monitor)


def scrub(given: Any, hint: Any) -> Any:
    """What of an event is sent: what is listed here, whoever captured it and whatever Sentry adds to it."""
    if given.get("type") == "check_in":
        return {name: given[name] for name in KEPT_CHECKIN if name in given}
    kept = {name: given[name] for name in KEPT if name in given}
    if hint.get(REDACTED):
        kept |= {name: given[name] for name in ("message", "fingerprint") if name in given}
        kept["contexts"] = {name: given["contexts"][name] for name in ("job", "trace") if name in given["contexts"]}
    kept["tags"] = {name: shown(name, value) for name, value in given.get("tags", {}).items() if name in SHOWN}
    kept["exception"] = {"values": [_scrub_exception(each) for each in given.get("exception", {}).get("values", [])]}
    return kept


def _scrub_exception(given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: given.get(name) for name in ("type", "module")}
    if f"{given.get('module')}.{given.get('type')}" in exceptions.SPEAKING:
        kept["value"] = given.get("value")
    places = (given.get("stacktrace") or {}).get("frames", [])
    if places:
        frames = [{name: place[name] for name in KEPT_PLACE if name in place} for place in places]
        kept["stacktrace"] = {"frames": frames}
    return kept

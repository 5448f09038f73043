"""The monitors, in Datadog's own words; their numbers are the policy's, and each kind has its entry in the README.

A monitor pages when it alerts; a warning is seen on the dashboard and in Datadog, and wakes nobody.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any

from deploy import TEAM
from service import NAME
from service.queues import ALERT_MINUTES, ALERT_WAIT, ALERTS, QUEUES, SCHEDULE, TREND_MINUTES, Queue

# Staging wakes nobody.
ENVIRONMENT = "production"

MANAGED = f"managed-by:{NAME}"
CALL = "{{#is_NOTICE}}@pagerduty-SERVICE{{/is_NOTICE}}".replace("SERVICE", NAME)

# What a gap in the data means: nothing happened, or another monitor speaks of it, or somebody is called.
WELL, ELSEWHERE, PAGES = "resolve", "show_no_data", "show_and_notify_no_data"

# Datadog looks back a week at most.
LONGEST_MINUTES = 7 * 24 * 60
# Minutes by which a periodic run may be late.
LATE_MINUTES = 15

Monitor = dict[str, Any]


def monitors(readme: str = "README.md") -> list[Monitor]:
    """Every monitor; `readme` is where the runbook is."""
    return [
        *(_oldest(name, queue, readme) for name, queue in QUEUES.items()),
        *(_no_worker(name, readme) for name in QUEUES),
        *(_dead_letters(name, readme) for name in QUEUES),
        _failure_ratio(readme),
        _beat(readme),
        *_missed_runs(readme),
        _doorbell(readme),
        _api_errors(readme),
        _api_latency(readme),
    ]


def limits(kind: str, queue: Queue | None = None) -> tuple[float, float]:
    """The value that warns, and the one that pages."""
    if queue is None:
        return ALERTS[kind]
    page = max(ALERT_WAIT, 2 * queue.hard_limit)
    return page / 2, page


def _oldest(name: str, queue: Queue, readme: str) -> Monitor:
    # No data: without a leader nobody tells, and then there are no workers either, which pages by itself.
    query = f"min({_last(ALERT_MINUTES)}):max:" + _from("queue.oldest_seconds", f"queue:{name}")
    text = f"The oldest job of the queue {name} has waited too long: nobody takes it, or more comes than is done."
    return _monitor(
        "oldest-job", name, query, ">", limits("oldest-job", queue), text, readme, missing=ELSEWHERE, priority=2
    )


def _no_worker(name: str, readme: str) -> Monitor:
    # No data pages: the gauges come from whichever worker or beat leads, so silence may mean that all are dead.
    # No warning: how many workers there should be is the platform's to say.
    query = f"max({_last(ALERT_MINUTES)}):max:" + _from("queue.workers", f"queue:{name}")
    text = f"No worker of the queue {name} is alive, or nothing is left that could tell."
    return _monitor("no-worker", name, query, "<", (None, 1), text, readme, missing=PAGES, priority=1)


def _dead_letters(name: str, readme: str) -> Monitor:
    # No data: as for the oldest job.
    query = f"change(max({_last(ALERT_MINUTES)}),{_last(TREND_MINUTES)}):max:" + _from(
        "queue.dead_letters", f"queue:{name}"
    )
    text = f"Jobs of the queue {name} fail for good; each keeps its arguments and its error until somebody decides."
    return _monitor(
        "dead-letters", name, query, ">", limits("dead-letters"), text, readme, missing=ELSEWHERE, priority=3
    )


def _failure_ratio(readme: str) -> Monitor:
    # No data: nothing ended, and what waits is another monitor's. A job that failed alone in its hour is a ratio of 1.
    failed, succeeded = (_counted(name, by="task") for name in ("jobs.failed", "jobs.succeeded"))
    query = f"sum({_last(TREND_MINUTES)}):{failed} / ({failed} + {succeeded})"
    text = "Too many of a task's jobs fail for good: its code, its data, or whom it calls."
    return _monitor("failure-ratio", "", query, ">", limits("failure-ratio"), text, readme, missing=WELL, priority=2)


def _beat(readme: str) -> Monitor:
    # No data: as for the oldest job. No warning: there is one, or none.
    query = f"max({_last(ALERT_MINUTES)}):max:" + _from("beat.workers")
    text = "No beat is alive: nothing periodic is submitted."
    return _monitor("beat", "", query, "<", (None, 1), text, readme, missing=ELSEWHERE, priority=2)


def _missed_runs(readme: str) -> Iterator[Monitor]:
    # No data pages: a run that was not submitted is exactly that. On the first day there was no run yet.
    for entry, each in SCHEDULE.items():
        minutes = longest_gap(each) + LATE_MINUTES
        if minutes > LONGEST_MINUTES:
            continue
        query = f"sum({_last(minutes)}):sum:" + _from("schedule.submitted", f"entry:{entry}") + ".as_count()"
        text = f"{entry} ({each.task}, {each.cron} {each.timezone}) was not submitted when it was due."
        yield _monitor("missed-run", entry, query, "<", (None, 1), text, readme, missing=PAGES, priority=3)


def _doorbell(readme: str) -> Monitor:
    # No data: no publish failed.
    query = f"sum({_last(ALERT_MINUTES)}):sum:" + _from("doorbell.failed") + ".as_count()"
    text = "The broker takes no doorbells: jobs are accepted, and wait until it does."
    return _monitor("doorbell", "", query, ">", limits("doorbell"), text, readme, missing=WELL, priority=2)


def _api_errors(readme: str) -> Monitor:
    # No data: nobody asked. That the API is reached at all is the platform's probe to say.
    failed = _counted("api.requests", "status:5*")
    query = f"sum({_last(ALERT_MINUTES)}):{failed} / {_counted('api.requests')}"
    text = "The API answers with 5xx: work is refused that should be accepted."
    return _monitor("api-errors", "", query, ">", limits("api-errors"), text, readme, missing=WELL, priority=1)


def _api_latency(readme: str) -> Monitor:
    # No data: nobody asked. The mean, since Datadog keeps no percentiles of a metric until somebody switches them on.
    query = f"avg({_last(ALERT_MINUTES)}):avg:" + _from("api.duration")
    text = "The API is slow to answer: its database most likely, since it waits for little else."
    return _monitor("api-latency", "", query, ">", limits("api-latency"), text, readme, missing=WELL, priority=2)


def longest_gap(schedule: Any) -> int:
    """The minutes between two runs of a schedule, at the most in the year from 2024 on."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    runs = [*takewhile(lambda run: run - begin < timedelta(days=366), islice(schedule.times(begin), LONGEST_MINUTES))]
    gaps = [later - earlier for earlier, later in pairwise(runs)]
    return int(max(gaps).total_seconds() // 60)


def _last(minutes: int) -> str:
    # Changes are compared over a few windows only, of which an hour is one and 60 minutes are none.
    return f"last_{minutes}m" if minutes % 60 else f"last_{minutes // 60}h"


def _from(metric: str, *tags: str) -> str:
    return metric + "{" + ",".join([f"service:{NAME}", f"env:{ENVIRONMENT}", *tags]) + "}"


def _counted(metric: str, *tags: str, by: str = "") -> str:
    # A task that never failed has no such count, and its ratio none without the zero.
    group = " by {" + by + "}" if by else ""
    return f"default_zero(sum:{_from(metric, *tags)}{group}.as_count())"


def _monitor(
    kind: str,
    what: str,
    query: str,
    sign: str,
    limits: tuple[float | None, float],
    text: str,
    readme: str,
    *,
    missing: str,
    priority: int,
) -> Monitor:
    warning, critical = limits
    key = f"{kind}-{what}" if what else kind
    notices = ["alert", "recovery", *(["no_data", "no_data_recovery"] if missing == PAGES else [])]
    pages = "".join(CALL.replace("NOTICE", notice) for notice in notices)
    return {
        "name": f"{NAME}: {key}",
        "type": "query alert",
        "query": f"{query} {sign} {critical:g}",
        "message": f"{text}\n\nRunbook: {readme}#{kind}\n\n{pages}",
        "tags": [f"service:{NAME}", f"team:{TEAM}", MANAGED, f"env:{ENVIRONMENT}"],
        "priority": priority,
        "options": {
            "thresholds": {"critical": critical} | ({} if warning is None else {"warning": warning}),
            "on_missing_data": missing,
            # Again every hour while it lasts; PagerDuty makes no second incident of it.
            "renotify_interval": 60,
            "renotify_statuses": ["alert", *(["no data"] if missing == PAGES else [])],
            "require_full_window": False,
            "include_tags": True,
        },
    }

"""The one dashboard: from what waits to what became of it."""

from typing import Any

from deploy.monitors.definitions import ENVIRONMENT, MANAGED
from service import NAME
from service.observe.names import COUNTS

OUTCOMES = ("accepted", "started", "succeeded", "failed", "cancelled", "retried", "crashed")

Dashboard = dict[str, Any]


def dashboard() -> Dashboard:
    """Every graph; the template variables choose the service and where it runs."""
    return {
        "title": f"{NAME}: jobs",
        # Dashboards take no tags but teams, so that this says whose it is.
        "description": f"Made by `make monitors`, which overwrites it. {MANAGED}",
        "layout_type": "ordered",
        "reflow_type": "auto",
        "template_variables": [
            {"name": "env", "prefix": "env", "defaults": [ENVIRONMENT]},
            {"name": "service", "prefix": "service", "defaults": [NAME]},
        ],
        "widgets": [
            _group("Monitors", [_alerts()]),
            _group(
                "Queues",
                [
                    _graph("Jobs that wait", "max", "queue.depth", by="queue"),
                    _graph("Age of the oldest, seconds", "max", "queue.oldest_seconds", by="queue"),
                    _graph("Jobs that run", "max", "queue.running", by="queue"),
                    _graph("Workers alive", "max", "queue.workers", by="queue"),
                    _graph("Dead letters", "max", "queue.dead_letters", by="queue"),
                    _graph("Publishes that failed", "sum", "doorbell.failed"),
                ],
            ),
            _group("Jobs", [_graph(f"Jobs {name}", "sum", f"jobs.{name}", by="task") for name in OUTCOMES]),
            _group(
                "Time",
                [
                    _graph("Duration, seconds: mean", "avg", "jobs.duration", by="task"),
                    _graph("Duration, seconds: longest", "max", "jobs.duration", by="task"),
                    _graph("Wait, seconds: mean", "avg", "jobs.wait", by="queue"),
                    _graph("Wait, seconds: longest", "max", "jobs.wait", by="queue"),
                    _graph("Attempts of a job", "max", "jobs.attempts", by="task"),
                ],
            ),
            _group(
                "API",
                [
                    _graph("Requests by status", "sum", "api.requests", by="status"),
                    _graph("Requests by operation", "sum", "api.requests", by="operation"),
                    _graph("Seconds until an answer: mean", "avg", "api.duration", by="operation"),
                    _graph("Seconds until an answer: longest", "max", "api.duration", by="operation"),
                ],
            ),
            _group(
                "Beat",
                [
                    _graph("Beats alive", "max", "beat.workers"),
                    _graph("Periodic jobs submitted", "sum", "schedule.submitted", by="entry"),
                    _graph("Periodic jobs skipped", "sum", "schedule.skipped", by="entry"),
                    _graph("Periodic jobs missed", "sum", "schedule.missed", by="entry"),
                ],
            ),
        ],
    }


def _group(title: str, widgets: list[dict[str, Any]]) -> dict[str, Any]:
    return {"definition": {"type": "group", "layout_type": "ordered", "title": title, "widgets": widgets}}


def _alerts() -> dict[str, Any]:
    # Its own monitors alone, whichever service the variables choose.
    return {
        "definition": {
            "type": "manage_status",
            "title": "What alerts and what warns",
            "query": f'tag:("{MANAGED}")',
            "display_format": "countsAndList",
            "summary_type": "monitors",
            "color_preference": "text",
            "hide_zero_counts": True,
        }
    }


def _graph(title: str, how: str, metric: str, *, by: str = "") -> dict[str, Any]:
    group = " by {" + by + "}" if by else ""
    query = f"{how}:{metric}" + "{$env,$service}" + group + (".as_count()" if metric in COUNTS else "")
    request = {
        "response_format": "timeseries",
        "queries": [{"data_source": "metrics", "name": "shown", "query": query}],
        "formulas": [{"formula": "shown"}],
        "display_type": "bars" if how == "sum" else "line",
    }
    return {"definition": {"type": "timeseries", "title": title, "show_legend": True, "requests": [request]}}

"""The monitors and the dashboard: Datadog's own models take them, they ask for metrics that there are, and page."""

import re
from typing import Any

import pytest
from datadog_api_client import Configuration
from datadog_api_client.model_utils import OpenApiModel, validate_and_convert_types
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v1.model.monitor import Monitor

from deploy.monitors.dashboard import dashboard
from deploy.monitors.definitions import LONGEST_MINUTES, monitors
from service import NAME
from service.observe.names import COMMON, COUNTS, DISTRIBUTIONS, GAUGES
from service.queues import ALERT_MINUTES, ALERTS, QUEUES, SCHEDULE

MONITORS = {monitor["name"].removeprefix(f"{NAME}: "): monitor for monitor in monitors()}
PER_QUEUE = ("oldest-job", "no-worker", "dead-letters")
METRICS = {**COUNTS, **DISTRIBUTIONS, **GAUGES}

# One metric in a query: how, which, of what, by what, and whether it is counted.
ASKED = re.compile(r"\b(avg|max|min|sum):([a-z_.]+)\{([^}]*)\}(?: by \{([^}]*)\})?(\.as_count\(\))?")


def queries(definition: Any) -> list[str]:
    """Every query of a monitor or of the dashboard's graphs."""
    if isinstance(definition, dict):
        own = [definition["query"]] if "query" in definition and definition.get("type") != "manage_status" else []
        return own + [query for value in definition.values() for query in queries(value)]
    return [query for each in definition for query in queries(each)] if isinstance(definition, list) else []


def strictly(given: Any, made: Any, path: str = "") -> None:
    """Hold that the model knows every field that it was given: it would keep a misspelt one without a word."""
    # A field of several possible kinds holds the one that it turned out to be.
    while getattr(made, "_composed_instances", None):
        made = made._composed_instances[0]
    if isinstance(made, OpenApiModel):
        assert not made._unparsed, f"{path}: expected what Datadog knows, got: {given}"
    if isinstance(given, dict):
        names = {name: attribute for attribute, name in made.attribute_map.items()}
        for name, value in given.items():
            assert name in names, f"{path}: expected a field of {type(made).__name__}, got: {name}"
            strictly(value, made.get(names[name]), f"{path}.{name}")
    elif isinstance(given, list):
        for number, (each, other) in enumerate(zip(given, made, strict=True)):
            strictly(each, other, f"{path}[{number}]")


def model(kind: type[OpenApiModel], given: Any) -> Any:
    """Read what would be sent as Datadog's own client reads what it receives."""
    return validate_and_convert_types(given, (kind,), ["given"], True, True, Configuration())


@pytest.mark.parametrize("name", MONITORS)
def test_a_monitor_is_one_to_datadogs_client(name: str) -> None:
    strictly(MONITORS[name], model(Monitor, MONITORS[name]))


def test_the_dashboard_is_one_to_datadogs_client() -> None:
    strictly(dashboard(), model(Dashboard, dashboard()))


@pytest.mark.parametrize("wrong", [{"nmae": "x"}, {"options": {"treshold": 1}}, {"options": {"on_missing_data": "x"}}])
def test_the_client_would_notice_what_datadog_does_not_know(wrong: dict[str, Any]) -> None:
    given = next(iter(MONITORS.values())) | wrong
    with pytest.raises(AssertionError, match="expected"):
        strictly(given, model(Monitor, given))


def test_the_client_would_notice_a_graph_that_datadog_does_not_know() -> None:
    given = dashboard()
    given["widgets"][1]["definition"]["widgets"][0]["definition"]["requests"][0]["quries"] = []
    with pytest.raises(AssertionError, match="expected a field of TimeseriesWidgetRequest, got: quries"):
        strictly(given, model(Dashboard, given))


@pytest.mark.parametrize("query", sorted({*queries([*MONITORS.values()]), *queries(dashboard())}))
def test_a_query_asks_for_metrics_and_tags_that_are_emitted(query: str) -> None:
    asked = ASKED.findall(query)
    assert query.count("{") - query.count(" by {") == len(asked) > 0
    for how, metric, scope, by, counted in asked:
        assert metric in METRICS
        tags = {tag.partition(":")[0].lstrip("$") for tag in scope.split(",")}
        assert {"service", "env"} <= tags <= {*COMMON, *METRICS[metric]}
        assert {*filter(None, by.split(","))} <= {*METRICS[metric]}
        assert bool(counted) == (metric in COUNTS)
        assert (how == "sum") == (metric in COUNTS)


def test_every_metric_is_on_the_dashboard() -> None:
    assert {metric for query in queries(dashboard()) for _, metric, *_ in ASKED.findall(query)} == METRICS.keys()


def test_every_queue_and_every_periodic_job_has_its_monitors() -> None:
    alike = {"failure-ratio", "beat", "doorbell", "api-errors", "api-latency"}
    expected = {f"{kind}-{queue}" for kind in PER_QUEUE for queue in QUEUES} | alike
    assert set(MONITORS) == expected | {f"missed-run-{entry}" for entry in SCHEDULE}


@pytest.mark.parametrize("name", MONITORS)
def test_a_monitor_pages_and_says_where_to_read_on(name: str) -> None:
    monitor = MONITORS[name]
    kind = next(kind for kind in [*PER_QUEUE, "missed-run", name] if name.startswith(kind))
    assert f"Runbook: README.md#{kind}\n" in monitor["message"]
    # A page for what alerts, and for its end; never for what only warns.
    assert re.search(r"\{\{#is_alert\}\}" + f"@pagerduty-{NAME}" + r"\{\{/is_alert\}\}", monitor["message"])
    assert "is_warning" not in monitor["message"]
    assert ("#is_no_data}" in monitor["message"]) == (
        monitor["options"]["on_missing_data"] == "show_and_notify_no_data"
    )
    assert {tag.partition(":")[0] for tag in monitor["tags"]} >= {"service", "team", "managed-by"}
    assert 1 <= monitor["priority"] <= 5


@pytest.mark.parametrize("name", MONITORS)
def test_a_monitors_warning_comes_before_its_alert(name: str) -> None:
    monitor = MONITORS[name]
    critical = monitor["options"]["thresholds"]["critical"]
    sign, threshold = monitor["query"].split()[-2:]
    assert float(threshold) == critical
    warning = monitor["options"]["thresholds"].get("warning")
    # What is there or not has nothing to warn of.
    assert (warning is None) == (sign == "<")
    assert warning is None or warning < critical


def test_the_oldest_job_may_wait_longer_than_a_job_may_take() -> None:
    for name, queue in QUEUES.items():
        thresholds = MONITORS[f"oldest-job-{name}"]["options"]["thresholds"]
        assert thresholds["warning"] >= queue.hard_limit
        assert thresholds["critical"] >= 60 * ALERT_MINUTES


def test_no_number_of_the_alerts_is_left_over() -> None:
    assert set(ALERTS) <= set(MONITORS) | set(PER_QUEUE)


def test_every_window_is_one_that_datadog_looks_back() -> None:
    minutes = {"m": 1, "h": 60}
    windows = re.findall(r"last_(\d+)([a-z])", " ".join(queries([*MONITORS.values()])))
    assert windows
    assert all(int(count) * minutes[unit] <= LONGEST_MINUTES for count, unit in windows)

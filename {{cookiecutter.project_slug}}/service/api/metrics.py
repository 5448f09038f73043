"""Metrics for whoever comes and fetches them: the gauges of the store, and what this process has served."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.api.answer import Answer
from service.api.contract import METHODS
from service.jobs import query
from service.observe import metrics, names

REGISTRY = CollectorRegistry()
# The gauges of names.py in Prometheus's spelling, looked up whenever somebody asks.
_kinds = ((name, name.replace(".", "_"), labels) for name, labels in names.GAUGES.items())
GAUGES = {name: Gauge(own, "As GET /v1/queues shows it.", labels, registry=REGISTRY) for name, own, labels in _kinds}
REQUESTS = Counter("api_requests", "Requests served.", names.REQUEST, registry=REGISTRY)
DURATION = Histogram("api_duration_seconds", "Seconds until the answer.", ("method", "operation"), registry=REGISTRY)


def index() -> Answer:
    """Show all of them in Prometheus's text format."""
    for name, value, tags in metrics.gauges(query.queues(), len(query.alive("beat"))):
        (GAUGES[name].labels(**tags) if tags else GAUGES[name]).set(value)
    # Without a version it is 0.0.4; Connexion answers with no type but those that openapi.yaml has.
    return generate_latest(REGISTRY), 200, {"Content-Type": "text/plain"}


def served(operation: str, method: str, status: int, seconds: float) -> dict[str, str]:
    """Count a request; gives its tags. Callers choose methods, so one that the specification has not is "other"."""
    method = method if method.lower() in METHODS else "other"
    tags = {"status": f"{status}", "method": method, "operation": operation.removeprefix("service.api.") or "none"}
    REQUESTS.labels(**tags).inc()
    DURATION.labels(method, tags["operation"]).observe(seconds)
    metrics.count("api.requests", **tags)
    metrics.distribution("api.duration", seconds, **tags)
    return tags

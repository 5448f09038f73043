"""Metrics: sent to Datadog's agent, where DD_AGENT_HOST names it; otherwise its library is not even imported.

Each is a datagram that is left to the kernel at once: nothing is kept, and nobody waits for an agent that is away.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from service import NAME
from service.config import Settings
from service.observe import names

if TYPE_CHECKING:
    from datadog.dogstatsd.base import DogStatsd

log = structlog.get_logger()

# Seconds between two looks at the gauges.
GAUGE_SECONDS = 10.0

# What an event in a job's history counts as, where that is not its own name.
OTHERS = {"expired": "cancelled", "retrying": "retried", "lost": "crashed", "overdue": "crashed"}
OUTCOMES = {name: name for name in names.EVENTS} | OTHERS

_agent: "DogStatsd | None" = None
_next_look = 0.0


def configure(settings: Settings) -> None:
    """Send this process's metrics to the agent; one whose name is unknown now is never asked for again."""
    global _agent
    if not settings.dd_agent_host:
        return
    try:
        found = socket.getaddrinfo(settings.dd_agent_host, None, type=socket.SOCK_DGRAM)
    except OSError:
        log.warning("agent's name unknown, so no metrics are sent", host=settings.dd_agent_host)
        return
    from datadog.dogstatsd.base import DogStatsd

    # It has a warning for each metric that an absent agent does not take.
    logging.getLogger("datadog.dogstatsd").setLevel(logging.CRITICAL)
    common = dict(zip(names.COMMON, (NAME, settings.environment, settings.service_version), strict=True))
    _agent = DogStatsd(host=str(found[0][4][0]), constant_tags=_tags(common), disable_telemetry=True)


def count(name: str, **tags: str) -> None:
    """Count one."""
    if _agent is not None:
        _agent.increment(name, tags=_tags({tag: tags[tag] for tag in names.COUNTS[name]}))


def distribution(name: str, value: float, **tags: str) -> None:
    """Add one measurement."""
    if _agent is not None:
        _agent.distribution(name, value, tags=_tags({tag: tags[tag] for tag in names.DISTRIBUTIONS[name]}))


def of_job(row: Any, event: str) -> Iterator[Callable[[], None]]:
    """What is to be counted and measured once this has happened to a job."""
    outcome = OUTCOMES.get(event)
    if _agent is None or outcome is None:
        return
    tags = {"task": row.task, "queue": row.queue}
    yield partial(count, f"jobs.{outcome}", **tags)
    if outcome == "started":
        yield partial(distribution, "jobs.wait", (row.started_at - row.run_at).total_seconds(), **tags)
    if outcome in ("succeeded", "failed", "cancelled") and row.started_at is not None:
        yield partial(distribution, "jobs.attempts", row.attempt, **tags)
        yield partial(distribution, "jobs.duration", (row.ended_at - row.started_at).total_seconds(), **tags)
    # A dead letter whose last attempt crashed, which no event of its own says.
    if outcome == "failed" and row.error_type in ("poison", "lost"):
        yield partial(count, "jobs.crashed", **tags)


def look(store: Callable[[], tuple[Sequence[Any], int]]) -> None:
    """Tell the gauges, now and then; the store is not asked where nobody wants them."""
    global _next_look
    if _agent is not None and time.monotonic() >= _next_look:
        _next_look = time.monotonic() + GAUGE_SECONDS
        for name, value, tags in gauges(*store()):
            _agent.gauge(name, value, tags=_tags(tags))


def gauges(queues: Sequence[Any], beats: int) -> Iterator[tuple[str, float, Mapping[str, str]]]:
    """The gauges of names.py: those of a queue are what is known of it by the same name."""
    for name, tags in names.GAUGES.items():
        if not tags:
            yield name, beats, {}
        for queue in queues if tags else ():
            value = getattr(queue, name.partition(".")[2])
            yield name, len(value) if isinstance(value, Sequence) else value, {"queue": queue.name}


def _tags(tags: Mapping[str, str]) -> list[str]:
    return [f"{name}:{value}" for name, value in tags.items()]

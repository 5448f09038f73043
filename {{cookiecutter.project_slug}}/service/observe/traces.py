"""Traces: Datadog's, where DD_TRACE_ENABLED says so; otherwise ddtrace is not even imported.

One trace goes from the request through the job's row to its attempts, their statements and their calls. The row keeps
W3C's `traceparent` of it; a job that nobody asked for over HTTP has a trace of its own, which is its id.
"""

import atexit
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from service import NAME
from service.config import Settings

if TYPE_CHECKING:
    from ddtrace.trace import Context, Span, Tracer

# What a request, a job's row and nobody else outside is told of a trace: its id, its span, and whether it is kept.
CARRIED = "traceparent"
FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# What is sent of a span, beside its name, its times and ddtrace's own marks: of the values of a job, a caller or a row
# the hosts that are called, and no other.
SEEN = (
    *("job_id", "task", "queue", "attempt", "outcome", "http.method", "http.status_code", "http.route", "error.type"),
    *("component", "span.kind", "db.system", "db.row_count", "out.host", "server.address"),
    *("network.destination.port", "process_id", "runtime-id", "language", "env", "version"),
)

# What ddtrace does not do unless the environment says otherwise: it reports on traces alone and to the agent alone, and
# tells third parties nothing.
OFF = ("INSTRUMENTATION_TELEMETRY_ENABLED", "REMOTE_CONFIGURATION_ENABLED", "HTTPX_DISTRIBUTED_TRACING")

# What Datadog calls some of the tags.
TAGS = {"method": "http.method", "status": "http.status_code", "operation": "http.route"}

# Seconds, at the end of a process, for spans that are not sent yet.
FLUSH_SECONDS = 1

Tags = dict[str, str]

_tracer: "Tracer | None" = None


def configure(settings: Settings) -> None:
    """Trace what this process and its children do."""
    global _tracer
    if not settings.dd_trace_enabled:
        return
    about = {"DD_SERVICE": NAME, "DD_ENV": settings.environment, "DD_VERSION": settings.service_version}
    for name, value in (about | {f"DD_{name}": "false" for name in OFF}).items():
        os.environ.setdefault(name, value)
    import ddtrace
    from ddtrace.contrib.sqlalchemy import trace_engine
    from ddtrace.internal import _threads
    from ddtrace.trace import Span, tracer

    from service.database import engine

    ddtrace.patch(httpx=True)
    trace_engine(engine())  # type: ignore[no-untyped-call]
    _tracer = tracer
    _tracer.configure(trace_processors=[Scrubber()])  # type: ignore[list-item]
    _tracer.SHUTDOWN_TIMEOUT = FLUSH_SECONDS
    # It waits for an agent that does not answer, 20 s and more for each payload.
    atexit.unregister(_threads._at_exit)  # type: ignore[attr-defined]
    # They hold errors word for word, and cannot be taken off a span again.
    Span._add_event = lambda *_, **__: None  # type: ignore[method-assign]


def leave(code: object) -> None:
    """End this process without taking the interpreter apart: ddtrace's threads may be at work, and would abort it."""
    if _tracer is not None and isinstance(code, int):
        atexit._run_exitfuncs()
        os._exit(code)


def ids() -> Tags:
    """What joins a line of the log to the span in which it was written."""
    if _tracer is None or _tracer.current_span() is None:
        return {}
    return {name: id_ for name, id_ in _tracer.get_log_correlation_context().items() if name.endswith("_id")}


def carried() -> Tags:
    """What the row of a job keeps, so that its attempts belong to the trace in which it was made."""
    if _tracer is None or (span := _tracer.current_span()) is None:
        return {}
    from ddtrace.propagation.http import HTTPPropagator

    headers: Tags = {}
    HTTPPropagator.inject(span.context, headers)
    return {name: value for name, value in headers.items() if name == CARRIED}


def request(traceparent: str | None) -> AbstractContextManager[Tags]:
    """A request's span, of the caller's trace or the first of its own; the mapping is for its tags."""
    return _span("api.request", "web", lambda: _parent(traceparent), {})


def attempt(row: Any) -> AbstractContextManager[Tags]:
    """An attempt's span, in the trace of its job; the mapping is for its `outcome`."""
    tags = {"job_id": row.id, "task": row.task, "queue": row.queue, "attempt": f"{row.attempt}"}
    return _span("job.attempt", "worker", lambda: _parent(row.context.get(CARRIED), row.id), tags)


@contextmanager
def _span(name: str, kind: str, parent: "Callable[[], Context | None]", tags: Tags) -> Iterator[Tags]:
    if _tracer is None:
        yield tags
        return
    _tracer.context_provider.activate(parent())
    span = _tracer.trace(name, span_type=kind)
    try:
        yield tags
    finally:
        came_to = tags.get("outcome") or tags.get("status", "crashed")
        # Of an attempt, or of a request, which has a status.
        span.error = int(came_to in ("retrying", "failed", "crashed") or came_to.startswith("5"))
        span.resource = " ".join(tags[part] for part in ("method", "operation", "task") if part in tags)
        span.set_tags({"component": NAME} | {TAGS.get(tag, tag): value for tag, value in tags.items()})
        span.finish()
        _tracer.context_provider.activate(None)


def _parent(traceparent: str | None, job_id: str = "") -> "Context | None":
    from ddtrace.propagation.http import HTTPPropagator
    from ddtrace.trace import Context

    # Of any other ddtrace says that it is none, with a traceback.
    if FORM.fullmatch(traceparent or ""):
        context: Context = HTTPPropagator.extract({CARRIED: traceparent})  # type: ignore[no-untyped-call]
        # Whether a request's trace is kept is for the agent's rate to say: the caller may be anybody.
        context.sampling_priority = context.sampling_priority if job_id else None
        return context
    return Context(trace_id=UUID(job_id).int) if job_id else None


class Scrubber:
    """Lets nothing leave this process that is not listed, whichever library or task put it on a span."""

    def process_trace(self, trace: "list[Span]") -> "list[Span]":
        """Strip the spans; a statement of nobody's request or attempt, as a heartbeat's, is not worth a trace."""
        kept = [span for span in trace if span._local_root.name in ("api.request", "job.attempt")]
        for span in kept:
            if span.span_type not in ("web", "worker", "sql"):
                span.resource = span.name
            for name in (*span.get_tags(), *span.get_metrics()):
                if name not in SEEN and not name.startswith(("_dd.", "_sampling_priority")):
                    span.remove_tag(name)
                    span.remove_metric(name)
        return kept

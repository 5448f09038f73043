"""Traces: Datadog, where DD_TRACE_ENABLED says so; otherwise ddtrace is not even imported."""

from service.config import Settings


def configure(settings: Settings) -> None:
    """Trace requests, jobs, statements and calls of this process."""
    if not settings.dd_trace_enabled:
        return
    import ddtrace

    ddtrace.patch(flask=True, celery=True, sqlalchemy=True, httpx=True, logging=True, structlog=True)

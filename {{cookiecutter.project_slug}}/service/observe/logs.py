"""Logs: one JSON line for each event on standard output, whoever wrote it; plain text on a terminal."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

from service import NAME
from service.config import Settings


def configure(settings: Settings, role: str, stream: TextIO = sys.stdout) -> None:
    """Send every log line of this process, libraries' too, through one formatter to `stream`."""
    fields = {
        "service": NAME,
        "version": settings.service_version,
        "environment": settings.environment,
        "role": role,
    }

    def add_fields(_: object, __: str, event: dict[str, object]) -> dict[str, object]:
        return fields | event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    terminal = stream.isatty()
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer()] if terminal else [add_fields, structlog.processors.JSONRenderer()]  # type: ignore[list-item]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # Arguments and URLs are payload: libraries that print them speak up only when something is wrong.
    for name in (
        "alembic",
        "connexion",
        "celery.app.trace",
        "celery.worker.strategy",
        "httpcore",
        "httpx",
        "kombu",
        "uvicorn.access",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)

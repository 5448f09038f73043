"""What a log line says about the work at hand, carried from the request to the worker in the job's row."""

from collections.abc import Mapping

import structlog

from service.observe import traces

# What a job's row keeps of the request that made it, beside its trace.
CARRIED = ("request_id",)

# Puts fields on every log line of this request or attempt; and starts the next one with none.
bind = structlog.contextvars.bind_contextvars
clear = structlog.contextvars.clear_contextvars


def current_context() -> dict[str, str]:
    """What the job made now should remember of this request."""
    bound = structlog.contextvars.get_contextvars()
    return {name: bound[name] for name in CARRIED if name in bound} | traces.carried()


def fields(carried: Mapping[str, str]) -> dict[str, str]:
    """What of it belongs on a log line."""
    return {name: carried[name] for name in CARRIED if name in carried}

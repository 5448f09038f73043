"""What the service lets be seen: logs, traces, metrics, error events."""

from service.config import Settings
from service.observe import errors, logs, metrics, traces


def start(settings: Settings, role: str) -> None:
    """Begin a process: logs always, the others where their variables switch them on."""
    logs.configure(settings, role)
    metrics.configure(settings)
    traces.configure(settings)
    errors.configure(settings, role)

"""A job as the world sees it: the same for the API, the command line and webhooks."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from service.jobs.model import Event, Job, Process, Task
from service.jobs.query import QueueStatus


def job(row: Job) -> dict[str, Any]:
    """What a client may see of its job; arguments and traceback are the operator's (`details`)."""
    progress = {"done": row.progress_done, "total": row.progress_total, "message": row.progress_message}
    return {
        **_columns(row, "id", "task", "queue", "state", "waiting_for", "client"),
        **_columns(row, "attempt", "failures", "crashes", "losses"),
        "progress": progress if row.progress_done is not None else None,
        "result": row.result,
        "error": {"type": row.error_type, "message": row.error_message} if row.error_type else None,
        **_columns(row, "callback_url", "batch_id"),
        "pipeline_id": row.steps[0]["id"] if row.steps else None,
        "cancel_requested": row.cancel_requested_at is not None,
        **_columns(row, "run_at", "created_at", "started_at", "ended_at"),
    }


def details(row: Job) -> dict[str, Any]:
    """Everything an operator needs to understand a job."""
    more = _columns(row, "traceback", "worker", "deadline", "idempotency_key", "unique_key", "lock_key")
    return job(row) | {"arguments": row.kwargs} | more


def event(row: Event) -> dict[str, Any]:
    """One line of a job's history."""
    return _columns(row, "at", "attempt", "event", "message", "by")


def task(row: Task) -> dict[str, Any]:
    """One task as its worker announced it; limits are seconds."""
    return _columns(row, "name", "queue", "schema", "soft_limit", "hard_limit", "max_retries")


def queue(status: QueueStatus) -> dict[str, Any]:
    """One queue: what waits, what runs, who works."""
    return {
        **_columns(status, "name", "depth", "running", "dead_letters"),
        "oldest_seconds": round(status.oldest_seconds, 3),
        "paused": status.paused is not None,
        "paused_at": moment(status.paused.paused_at) if status.paused else None,
        "paused_by": status.paused.by if status.paused else None,
        "workers": [process(worker) for worker in status.workers],
    }


def queues(statuses: Iterable[QueueStatus], beats: Iterable[Process]) -> dict[str, Any]:
    """Every queue, and who keeps the schedule."""
    return {"queues": [queue(status) for status in statuses], "beats": [process(beat) for beat in beats]}


def process(row: Process) -> dict[str, Any]:
    """A worker or a beat, and when it was last heard of."""
    return _columns(row, "id", "version", "host", "started_at", "seen_at")


def schedule(status: Any) -> dict[str, Any]:
    """One schedule: what is declared of it, and how it stands."""
    return _columns(status, *status._fields)


def moment(value: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z") if value else None


def _columns(row: object, *names: str) -> dict[str, Any]:
    """These columns under their own names, moments written out."""
    found = {name: getattr(row, name) for name in names}
    return {name: moment(value) if isinstance(value, datetime) else value for name, value in found.items()}

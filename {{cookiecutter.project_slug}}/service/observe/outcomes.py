"""What becomes of jobs, told once it is committed: it is counted, a dead letter is an error, a run checks in."""

import sys
from functools import partial
from typing import Any

import structlog
from sqlalchemy.orm import Session

from service.config import settings
from service.observe import committed, context, errors, metrics
from service.queues import SCHEDULE

log = structlog.get_logger()

# What gets a line, and how loud; what an attempt comes to by itself has one already.
LINES = {"failed": "error", "crashed": "warning", "lost": "warning", "overdue": "warning", "handed back": "info"}

# What Sentry's monitors call what happens to the job of a run.
CHECK_INS = {"started": "in_progress", "succeeded": "ok", "failed": "error", "cancelled": "error", "expired": "error"}


def note(session: Session, row: Any, event: str) -> None:
    """Take note of what happened to the job in this transaction, to tell it if that commits.

    Whoever ends a job, its own process, its worker's or the reconciler, does it once and comes by here.
    """
    for tell in metrics.of_job(row, event):
        committed.then(session, tell)
    error = sys.exception()
    # A retry is asked for with the error that is its reason.
    error = getattr(error, "exc", None) or error
    if error is not None and event in {"failed", "retrying"}:
        context.bind(error=type(error).__name__)
    if event in LINES:
        committed.then(session, partial(_line, row, event, error))
    name = (row.idempotency_key or "").partition("@")[0]
    if row.client == "beat" and event in CHECK_INS and name in SCHEDULE:
        minutes = int(settings().queues[row.queue].hard_limit / 60) + 1
        say = partial(errors.check_in, name, row.id, CHECK_INS[event], SCHEDULE[name], minutes)
        committed.then(session, say)


def _line(row: Any, event: str, error: BaseException | None) -> None:
    fields = context.fields(row.context) | {name: getattr(row, name) for name in ("task", "queue", "attempt", "client")}
    said = f"job {event}"
    if event == "failed":
        said, fields["error"] = "job is a dead letter", row.error_type
    getattr(log, LINES[event])(said, **fields, job_id=row.id, exc_info=error)

"""Accepting work: what every POST that makes a job has in common."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import connexion

from service.api.answer import Answer, answer
from service.api.formats import moment
from service.errors import InvalidRequest
from service.jobs import submit, view

# Further ahead than this is a mistake in the year or the unit; nobody would remember the job.
LATEST = timedelta(days=366)


def accept(task: str, arguments: Mapping[str, Any], *, client: str, run_at: str | None = None) -> Answer:
    """Make the job and say where to ask for it; the request's Idempotency-Key makes it once."""
    row = submit(
        task,
        arguments,
        client=client,
        idempotency_key=connexion.request.headers.get("Idempotency-Key"),
        run_at=_later(run_at),
    )
    return answer(view.job(row), 202, {"Location": f"/v1/jobs/{row.id}"})


def _later(run_at: str | None) -> datetime | None:
    later = run_at and moment(run_at)
    if not later:
        return None
    if later > datetime.now(UTC) + LATEST:
        raise InvalidRequest(f"expected run_at to be at most {LATEST.days} days ahead, got: {run_at}", field="run_at")
    return later

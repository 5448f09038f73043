"""Accepting work: what every POST that makes a job has in common."""

from collections.abc import Mapping
from typing import Any

import connexion

from service import view
from service.api.answer import Answer, answer
from service.api.formats import moment
from service.jobs import submit


def accept(task: str, arguments: Mapping[str, Any], *, client: str, run_at: str | None = None) -> Answer:
    """Make the job and say where to ask for it; the request's Idempotency-Key makes it once."""
    row = submit(
        task,
        arguments,
        client=client,
        idempotency_key=connexion.request.headers.get("Idempotency-Key"),
        run_at=moment(run_at) if run_at else None,
    )
    return answer(view.job(row), 202, {"Location": f"/v1/jobs/{row.id}"})

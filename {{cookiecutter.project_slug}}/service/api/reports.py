"""Reports: ordered with POST, fetched once the job has succeeded."""

from typing import Any

from service.api.accept import accept
from service.api.answer import Answer
from service.database import standalone
from service.errors import ResultNotFound
from service.jobs import query
from service.models.report import Report


def create(body: dict[str, Any], user: str) -> Answer:
    """Accept a report."""
    arguments = {"title": body["title"], "rows": body["rows"]}
    later = {name: body.get(name) for name in ("run_at", "callback_url")}
    return accept("reports.export", arguments, client=user, **later)


def show(job_id: str, client: str | None) -> Answer:
    """Give the report of a job.

    Raises:
        JobNotFound: also when the job is another client's.
        ResultNotFound: the job makes none, or has not succeeded yet.
    """
    job = query.get(job_id, client)
    with standalone() as session:
        report = session.get(Report, job.id)
    if report is None:
        raise ResultNotFound
    return report.csv, 200, {"Content-Type": "text/csv", "Content-Disposition": f'attachment; filename="{job.id}.csv"'}

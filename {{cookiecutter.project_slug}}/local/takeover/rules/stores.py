"""Stores: what tasks are sent through, and where their results are kept."""

from collections.abc import Iterator

from local.takeover.finding import EVERY_TASK, Fault, Finding
from local.takeover.project import Project

DATABASE = Fault(
    "database-broker",
    "Redis or RabbitMQ as the broker",
    "every worker polls it, busy or not, and each poll takes locks that the application wants",
    "BROKER_URL=redis://... or amqp://...; the database keeps the rows of the jobs, which nobody polls",
)
RESULTS = Fault(
    "results",
    "no results outside of the job's row",
    "they pile up, and a backend that fails as a task ends makes a failure of a success",
    "leave it out: what the function returns is kept in the job's row, and `GET /v1/jobs/ID` shows it",
)
DATABASES = {
    "couchdb",
    "db",
    "django",
    "mariadb",
    "mongodb",
    "mssql",
    "mysql",
    "oracle",
    "postgres",
    "postgresql",
    "sqlite",
}


def stores(project: Project) -> Iterator[Finding]:
    """A database as the broker, and results that are kept."""
    for url in project.settings.get("broker_url", []):
        # The address may have a password, and is not shown.
        schemes = [text.partition("://")[0] for text in url.strings() if "://" in text]
        for scheme in schemes:
            if scheme.startswith(("sqla+", "sqlalchemy+", "db+")) or scheme.partition("+")[0] in DATABASES:
                yield DATABASE.at(url.module, url.expression, EVERY_TASK, f"{scheme}://…")
    for backend in project.settings.get("result_backend", []):
        if backend.value not in {None, "", "disabled", "disabled://"}:
            schemes = [text.partition(":")[0] for text in backend.strings() if ":" in text]
            yield RESULTS.at(
                backend.module, backend.expression, EVERY_TASK, f"{schemes[0]}://…" if schemes else backend.shown
            )
    for task in project.tasks:
        kept = task.options.get("ignore_result")
        if kept and kept.value is False:
            yield RESULTS.at(kept.module, kept.expression, task.name, "ignore_result=False")

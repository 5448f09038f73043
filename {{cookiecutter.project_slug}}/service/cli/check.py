"""`check`: whether this environment can run the service, said before it matters."""

from collections.abc import Iterator
from typing import Any

import click

from service import broker, schema
from service.cli.output import Refused, as_json, show
from service.config import settings
from service.errors import InvalidArguments, PolicyError, StartRefused
from service.jobs import catalogue
from service.queues import SCHEDULE, VISIBILITY_TIMEOUT


@click.command()
@click.option("--tasks", metavar="PATH", help="Say instead what is wrong with the Celery tasks of another service.")
@as_json
def check(tasks: str | None, as_json: bool) -> None:
    """Check settings, policy, tasks and connections; print what is in force."""
    if tasks is not None:
        try:
            from local.takeover.report import report as takeover
        except ModuleNotFoundError:
            raise Refused("--tasks: expected a clone of the repository, got: no local/ here; run it in one") from None
        takeover(tasks, as_json)
        return

    from service.api import limits
    from service.jobs.shapes import upstreams
    from service.worker.process import command_line

    faults = [fault for fault in [*_policy(), *_database(), *broker.faults()] if fault]
    report: dict[str, Any] = {
        "environment": settings().environment,
        "version": settings().service_version,
        "limits": f"{limits.describe(settings())}; third parties: {upstreams.describe()}",
        "queues": {name: queue.model_dump() for name, queue in settings().queues.items()},
        "workers": {name: " ".join(["celery", *command_line(name, each)]) for name, each in settings().queues.items()},
        "faults": faults,
    }
    if as_json:
        show(report, as_json)
    else:
        for name, line in report["workers"].items():
            click.echo(f"policy of worker {name}: {line}")
            click.echo(f"  {', '.join(f'{field}={value}' for field, value in report['queues'][name].items())}")
        click.echo(f"limits: {report['limits']}")
    if faults:
        raise Refused("\n".join(faults))
    if not as_json:
        click.echo("ready to start: settings, tasks, database and broker are in order; `queues list` says what runs")


def _policy() -> Iterator[str]:
    """Tasks that do not import, and contradictions between settings."""
    from service.worker.app import configure, entries, load_tasks

    app = configure(settings())
    try:
        tasks = load_tasks()
    except PolicyError as error:
        yield str(error)
        return
    known = {entry.name: entry for entry in entries()}
    for name, schedule in SCHEDULE.items():
        try:
            catalogue.validate(known[schedule.task], schedule.kwargs)
        except KeyError:
            yield f"schedule {name}: expected task to be one of {', '.join(known)}, got: {schedule.task}; correct it"
        except InvalidArguments as error:
            yield f"schedule {name}: {error.detail}"
    longest = max((task.time_limit for task in tasks.values()), default=0)
    if longest * 2 > VISIBILITY_TIMEOUT:
        got = f"{VISIBILITY_TIMEOUT} s, after which Redis would hand out a `.delay()` task again while it runs"
        yield f"VISIBILITY_TIMEOUT: expected at least twice the longest hard limit, {longest:g} s, got: {got}; raise it"
    unknown = {task.kind for task in tasks.values()} - set(app.queues)
    yield from (f"queue {kind}: expected it in queues.py, got: none; add it" for kind in sorted(unknown))


def _database() -> Iterator[str]:
    try:
        schema.demand_current()
    except StartRefused as error:
        yield str(error)

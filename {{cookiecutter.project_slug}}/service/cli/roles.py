"""The processes that the service runs as."""

import os
import secrets
import sys

import click
import structlog

from service.cli.output import Refused, as_json, show
from service.queues import QUEUES, of_greenlets


def _begin(role: str) -> None:
    """Settings, logs, error events, traces: what every process has before it does anything."""
    from service import observe
    from service.config import settings

    observe.start(settings(role), role)


@click.command()
def api() -> None:
    """Answer HTTP requests."""
    _begin("api")
    from service.api.app import run

    run()


@click.command()
@click.argument("queue", type=click.Choice(list(QUEUES)))
def worker(queue: str) -> None:
    """Do the work of one queue."""
    from service.config import settings

    if settings(role := f"worker-{queue}").queues[queue].pool == "gevent" and not of_greenlets():
        _patched()
    _begin(role)
    from service import broker, schema
    from service.worker import process

    schema.demand_current()
    for fault in broker.faults():
        # A worker waits for its broker; who started it should know.
        structlog.get_logger().warning("the broker cannot be relied on", fault=fault)
    sys.exit(process.run(queue))


def _patched() -> None:
    """Begin again as gevent would have it: the standard library is patched before anything else is imported."""
    main, (package,) = sys.modules["__main__"].__spec__, sys.modules["service"].__path__
    program = ["--module", main.name.removesuffix(".__main__")] if main else sys.argv[:1]
    # gevent's own threads for names are ten, and each that hangs holds one. Neither a key exchange nor thousands of a
    # name's addresses may hold them all: an answer fits a datagram, or is none (c-ares' ARES_FLAG_IGNTC and _EDNS).
    own = {"GEVENT_RESOLVER": "ares", "GEVENTARES_FLAGS": "260", "OPENSSL_CONF": f"{package}/outbound/openssl.cnf"}
    os.environ.update(own | dict(os.environ))
    os.execv(sys.executable, [sys.executable, "-m", "gevent.monkey", *program, *sys.argv[1:]])  # noqa: S606 - it is us


@click.command()
def beat() -> None:
    """Submit periodic jobs; a second one waits until the first is gone."""
    _begin("beat")
    from service import schema
    from service.beat import run

    schema.demand_current()
    sys.exit(run())


@click.command()
@as_json
def migrate(as_json: bool) -> None:
    """Bring the database to this version, and write down which tasks there are."""
    _begin("migrate")
    from alembic.util import CommandError
    from sqlalchemy.exc import OperationalError

    from service import schema
    from service.database import fault
    from service.jobs import catalogue
    from service.worker.app import entries

    try:
        before, after = schema.upgrade()
        tasks = list(entries())
        catalogue.announce(tasks)
    except OperationalError as error:
        raise Refused(fault(error)) from error
    except CommandError as error:
        raise Refused(f"expected migrations in one line, got: {error}; join two by `alembic merge heads`") from error
    show({"from": before, "to": after, "tasks": [task.name for task in tasks]}, as_json)


@click.command()
def flower() -> None:
    """Watch the workers in a browser (Celery's Flower), behind a password."""
    _begin("flower")
    from service.config import settings
    from service.worker.app import configure

    password, port = settings().flower_password.get_secret_value(), settings().flower_port
    if not password:
        password = secrets.token_urlsafe(12)
        click.echo(f"Flower: http://127.0.0.1:{port}/ user: flower password: {password} (for this run)")
    if "," in password:
        raise Refused("FLOWER_PASSWORD: expected none of Flower's own commas, which end it, got: one; make another")
    arguments = ["flower", f"--port={port}", f"--basic-auth=flower:{password}", "--logging=warning"]
    configure(settings()).start([*arguments, f"--address={settings().host}"])

"""The command line: the roles that the service runs as, and what its operator does."""

import importlib
import sys

import click

from service import NAME
from service.cli.output import Refused, printable

# Each is imported when it is called: the API's process loads no task, a probe of the help loads nothing.
ROLES = ("api", "worker", "beat", "migrate", "flower")
# These are in service/ops/, and go with it.
TOOLS: tuple[str, ...] = ("profile", "memory")
OTHERS = ("check", "tasks", "jobs", "queues", "batches", "pipelines", "schedules", "tokens", "webhooks")
COMMANDS = (*ROLES, *OTHERS, *TOOLS)


class Commands(click.Group):
    """The commands above, each from its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = "cli.roles" if cmd_name in ROLES else f"{'ops' if cmd_name in TOOLS else 'cli'}.{cmd_name}"
        return getattr(importlib.import_module(f"service.{module}"), cmd_name)  # type: ignore[no-any-return]


@click.group(cls=Commands, name=NAME, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Take work over HTTP, do it on workers, account for it in a database."""


def main() -> None:
    """Exit code 0: done; 1: refused or failed; 2: wrong usage or wrong settings."""
    try:
        _run()
    except SystemExit as end:
        if "ddtrace" in sys.modules:
            importlib.import_module("service.observe.traces").leave(end.code)
        raise


def _run() -> None:
    # Imported here, so that help works without settings.
    from service.config import WrongSettings
    from service.errors import StartRefused

    # A role has its own output in place of this; what it says to whoever started it goes here.
    stderr = sys.stderr
    try:
        cli.main(prog_name=NAME)
    except WrongSettings as error:
        click.echo(f"The settings cannot be used:\n{error}", stderr)
        sys.exit(2)
    except (Refused, StartRefused) as error:
        click.echo("\n".join(map(printable, f"{error}".splitlines())), stderr)
        sys.exit(1)

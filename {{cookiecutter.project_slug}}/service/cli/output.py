"""What commands print: a table for people, JSON for scripts; and how they end when something is refused."""

import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import click

from service.errors import ServiceError

# Seconds that a command which rang waits for the broker; after that the reconciler rings in its place.
FLUSH_SECONDS = 2.0

P = ParamSpec("P")
R = TypeVar("R")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Refused(Exception):
    """What was asked could not be done; the message says why and what to do."""


def show(data: Mapping[str, Any] | Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str] = ()) -> None:
    """Print a thing, or a list of things as a table of these columns."""
    if as_json:
        click.echo(json.dumps(data, indent=2, default=str))
    elif isinstance(data, Mapping):
        width = max(map(len, data), default=0)
        for name, value in data.items():
            click.echo(f"{name:<{width}}  {_plain(value)}")
    else:
        _table(data, columns)


def operator(function: Callable[P, R]) -> Callable[P, R]:
    """Give a command `--json`, and turn what the kernel raises into a sentence and exit code 1."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from sqlalchemy.exc import DatabaseError, InterfaceError

        from service.config import settings
        from service.database import fault
        from service.jobs import doorbell
        from service.observe import logs

        # Standard output is the command's answer, which scripts parse.
        logs.configure(settings(), "cli", sys.stderr)
        try:
            return function(*args, **kwargs)
        except ServiceError as error:
            raise Refused(error.detail) from error
        except (DatabaseError, InterfaceError) as error:
            raise Refused(fault(error)) from error
        finally:
            doorbell.flush(FLUSH_SECONDS)

    return as_json(wrapped)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    cells = [[_plain(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    for line in [list(columns), *cells]:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return printable(json.dumps(value) if isinstance(value, dict | list) else str(value))


def printable(text: str) -> str:
    """The text as a terminal may have it: what others wrote must not move its cursor, or write to its clipboard."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

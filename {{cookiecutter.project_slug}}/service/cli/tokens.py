"""`tokens`: who may call the API."""

import sys
from typing import Any

import click

from service.api.tokens import MINT, SCOPES, Entry, MalformedEntries, mint
from service.cli.output import Refused, as_json, show

COLUMNS = ("client", "name", "scopes", "expires", "days_left", "hash", "from", "standing")


@click.group()
def tokens() -> None:
    """Make tokens, and check them."""


@tokens.command()
@click.option("--client", required=True, help="Whose token it is; a client sees its own jobs.")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="May be repeated.")
@click.option("--name", help="What tells this token from the client's others.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="The last day it is good for.")
@as_json
def new(client: str, scopes: tuple[str, ...], name: str | None, expires: object, as_json: bool) -> None:
    """Make a token: the caller keeps it, the service is given the entry, which holds its hash alone."""
    last_day = expires.date() if hasattr(expires, "date") else None
    try:
        token, entry = mint(client, scopes, name=name, expires=last_day)
    except MalformedEntries as error:
        raise click.BadParameter(str(error)) from error
    show({"token": token, "entry": entry}, as_json)
    if not as_json:
        click.echo("\nGive the token to the caller; add the entry to API_TOKENS, or to API_TOKENS_FILE.", err=True)


@tokens.command()
@click.option("--token", type=click.Choice(["-"]), help="Say whose token stands on standard input, and what it may.")
@as_json
def check(token: str | None, as_json: bool) -> None:
    """Check the entries that are configured, or one token; warn of those that have expired or soon will."""
    from service.api import auth

    try:
        keyring = auth.keyring()
    except MalformedEntries as error:
        raise Refused(f"{error}") from error
    if token is None:
        rows = [_row(entry, source) for source, entry in keyring.entries()]
        show({"entries": rows} if as_json else rows, as_json, COLUMNS)
        for row in (row for row in rows if row["standing"] != "good"):
            which = f"{row['client']}'s token {row['name'] or ''}".strip()
            click.echo(f"warning: {which} {row['standing']}, its last day is {row['expires']}: {MINT}", err=True)
        return
    found = keyring.match(sys.stdin.readline().strip())
    if found is None:
        raise Refused(f"expected a token that this service knows, got: one without an entry; make one: {MINT}")
    (row, *_) = [_row(entry, source) for source, entry in keyring.entries() if entry == found]
    show(row, as_json)
    if row["standing"] == "expired":
        raise Refused(f"expected a token that is good, got: one that expired on {row['expires']}; make another: {MINT}")


def _row(entry: Entry, source: str) -> dict[str, Any]:
    """An entry for people; of its hash as much as tells it from the others."""
    about = (entry.client, entry.name or None, " ".join(sorted(entry.scopes)), entry.last_day and str(entry.last_day))
    cells = (*about, entry.days_left, f"{entry.digest[:8]}…", source, entry.standing)
    return dict(zip(COLUMNS, cells, strict=True))

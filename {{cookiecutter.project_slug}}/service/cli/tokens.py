"""`tokens`: who may call the API."""

import click

from service.api.tokens import SCOPES, mint
from service.cli.output import as_json, show


@click.group()
def tokens() -> None:
    """Make tokens."""


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
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    show({"token": token, "entry": entry}, as_json)
    if not as_json:
        click.echo(
            "\nGive the token to the caller; add the entry to API_TOKENS, or as a line to API_TOKENS_FILE.", err=True
        )

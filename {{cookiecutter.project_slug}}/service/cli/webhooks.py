"""`webhooks`: secrets that deliveries are signed with."""

import click

from service.cli.output import as_json, show


@click.group()
def webhooks() -> None:
    """Make secrets for webhooks."""


@webhooks.command()
@click.option("--client", required=True, help="Whose jobs are delivered with it.")
@as_json
def secret(client: str, as_json: bool) -> None:
    """Make a secret: the receiver verifies with it what this service signs with it."""
    from service.config import WEBHOOK_ENTRY
    from service.webhooks.secrets import mint

    made, entry = mint(client)
    if not WEBHOOK_ENTRY.fullmatch(entry):
        raise click.BadParameter("expected a client as tokens name it, got something else", param_hint="--client")
    show({"secret": made, "entry": entry}, as_json)
    if not as_json:
        click.echo("\nGive the secret to the receiver; add the entry to WEBHOOK_SECRETS, or to its file.", err=True)
        click.echo("To rotate: add a second one, let the receiver change over, and take the first away.", err=True)

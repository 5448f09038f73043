"""Secrets that deliveries are signed with: `client/whsec_…`, several for a client while one replaces another."""

import base64
import os
import re
from collections.abc import Iterator

import structlog

from service.config import WEBHOOK_ENTRY, settings
from service.errors import NoWebhookSecret

log = structlog.get_logger()


def mint(client: str) -> tuple[str, str]:
    """Make a secret and its entry; the secret is for the receiver, the entry for WEBHOOK_SECRETS."""
    secret = f"whsec_{base64.b64encode(os.urandom(32)).decode()}"
    return secret, f"{client}/{secret}"


def of(client: str) -> list[str]:
    """The client's secrets, read now: a mounted file may have changed.

    Raises:
        NoWebhookSecret: the client has none.
    """
    found = [secret for whose, secret in _entries() if whose == client]
    if not found:
        got = f"none; an operator makes one: `webhooks secret --client {client}`"
        raise NoWebhookSecret(f"expected client {client} to have a webhook secret, got: {got}", field="callback_url")
    return found


def _entries() -> Iterator[tuple[str, str]]:
    text, path = settings().webhook_secrets.get_secret_value(), settings().webhook_secrets_file
    if path is not None:
        try:
            text += "\n" + path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            log.error("webhook secrets not read", error=type(error).__name__)
    for position, line in enumerate(filter(None, map(str.strip, re.split(r"[,\n]", text))), start=1):
        if entry := WEBHOOK_ENTRY.fullmatch(line):
            yield entry[1], entry[2]
        else:
            log.error("webhook secret left out, expected client/whsec_…, whole", position=position)

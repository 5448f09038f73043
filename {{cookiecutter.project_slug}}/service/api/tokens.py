"""Tokens: secrets that callers show; the service keeps a hash of each, in an entry that says whose it is.

An entry reads `client/jobs:read+jobs:write/SHA-256 in hex[/name[/last day]]`.
A token is random and long, so a plain hash of it is as good as a slow one.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from service import NAME
from service.config import WrongSettings

SCOPES = ("jobs:read", "jobs:write", "jobs:admin")
WORD = re.compile(r"[A-Za-z0-9._@-]{1,64}")
# Whose jobs are the service's own, as `jobs list` shows them; a client of such a name could take their keys.
OWN = ("beat", "deploy", "internal", "operator")
HEX = re.compile(r"[0-9a-f]{64}")

# What `mint` makes, wherever somebody pasted it.
TOKEN = re.compile(re.escape(NAME) + r"_[A-Za-z0-9_-]{43}")

# Days before its end from which on a token is worth a warning.
SOON = 14

MINT = f"python -m service tokens new --client NAME --scope {' --scope '.join(SCOPES[:2])}"


@dataclass(frozen=True)
class Entry:
    """What the service knows of one token; `last_day` is in UTC, and the token is still good on it."""

    client: str
    scopes: frozenset[str]
    digest: str
    name: str = ""
    last_day: date | None = None

    @property
    def days_left(self) -> int | None:
        """Days that it is good for after today, in UTC; negative once it has expired, None if it never does."""
        return (self.last_day - datetime.now(UTC).date()).days if self.last_day else None

    @property
    def standing(self) -> str:
        """In a word or two, whether it opens and for how long."""
        days = self.days_left
        if days is None or days > SOON:
            return "good"
        return "expired" if days < 0 else "expires soon"

    def __str__(self) -> str:
        parts = (self.client, "+".join(sorted(self.scopes)), self.digest, self.name, str(self.last_day or ""))
        return "/".join(parts).rstrip("/")


class MalformedEntries(WrongSettings):
    """Entries cannot be read; the message has a line for each, by its position and without repeating it."""


def mint(client: str, scopes: Iterable[str], name: str | None = None, expires: date | None = None) -> tuple[str, str]:
    """Make a token and its entry; the token is for the caller alone, the entry for API_TOKENS.

    Raises:
        MalformedEntries: the client, a scope or the name is not one.
    """
    # The prefix lets a scanner recognise a token that was committed or pasted somewhere.
    token = f"{NAME}_{secrets.token_urlsafe(32)}"
    entry = Entry(client, frozenset(scopes), digest(token), name or "", expires)
    if faults := read(str(entry))[1]:
        raise MalformedEntries(faults[0])
    return token, str(entry)


def digest(token: str) -> str:
    """What an entry keeps of the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def read(text: str) -> tuple[list[Entry], list[str]]:
    """The entries in `text`, separated by commas or newlines, and what is wrong with the others, by their position."""
    entries: list[Entry] = []
    faults: list[str] = []
    for position, line in enumerate(filter(None, map(str.strip, re.split(r"[,\n]", text))), start=1):
        try:
            entry = _entry(line)
            if any(entry.digest == earlier.digest for earlier in entries):
                raise ValueError("expected a token of its own, got: the hash of an earlier entry")
            entries.append(entry)
        except ValueError as error:
            faults.append(f"entry {position}: {error}")
    return entries, faults


def _entry(line: str) -> Entry:
    parts = line.split("/")
    if not 3 <= len(parts) <= 5:
        raise ValueError(f"expected client/scopes/SHA-256[/name[/last day]], got: {len(parts)} parts")
    client, scopes, hashed, name, last_day = [*parts, "", ""][:5]
    if not WORD.fullmatch(client):
        raise ValueError("expected the client to be up to 64 letters, digits, '.', '_', '@' or '-', got something else")
    if client in OWN:
        raise ValueError(f"expected another client than {', '.join(OWN)}, which the service is itself, got one of them")
    if unknown := set(scopes.split("+")) - set(SCOPES):
        raise ValueError(f"expected scopes among {'+'.join(SCOPES)}, got: {len(unknown)} others")
    if not HEX.fullmatch(hashed):
        raise ValueError(f"expected a SHA-256 of 64 lower-case hex digits, got: {len(hashed)} characters")
    if name and not WORD.fullmatch(name):
        raise ValueError("expected the name to be like the client's, got something else")
    return Entry(client, frozenset(scopes.split("+")), hashed, name, _day(last_day) if last_day else None)


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise ValueError("expected the last day to be YYYY-MM-DD, got something else") from None

"""Tokens: secrets that callers show; the service keeps a hash of each, in an entry that says whose it is.

An entry reads `client/jobs:read+jobs:write/SHA-256 in hex[/name[/last day]]`.
A token is random and long, so a plain hash of it is as good as a slow one.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import structlog

from service import NAME

log = structlog.get_logger()

SCOPES = ("jobs:read", "jobs:write", "jobs:admin")
WORD = re.compile(r"[A-Za-z0-9._@-]{1,64}")
HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """What the service knows of one token; `last_day` is in UTC, and the token is still good on it."""

    client: str
    scopes: frozenset[str]
    digest: str
    name: str = ""
    last_day: date | None = None

    def __str__(self) -> str:
        parts = [self.client, "+".join(sorted(self.scopes)), self.digest]
        if self.name or self.last_day:
            parts.append(self.name)
        return "/".join([*parts, str(self.last_day)] if self.last_day else parts)


class MalformedEntries(ValueError):
    """Entries cannot be read; the message has a line for each, by its position and without repeating it."""


def mint(client: str, scopes: Iterable[str], name: str | None = None, expires: date | None = None) -> tuple[str, str]:
    """Make a token and its entry; the token is for the caller alone, the entry for API_TOKENS.

    Raises:
        MalformedEntries: the client, a scope or the name is not one.
    """
    # The prefix lets a scanner recognise a token that was committed or pasted somewhere.
    token = f"{NAME}_{secrets.token_urlsafe(32)}"
    entry = Entry(client, frozenset(scopes), digest(token), name or "", expires)
    parse(str(entry))
    return token, str(entry)


def digest(token: str) -> str:
    """What an entry keeps of the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def parse(text: str) -> list[Entry]:
    """The entries in `text`, separated by commas or newlines.

    Raises:
        MalformedEntries: naming every one that is wrong.
    """
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
    if faults:
        raise MalformedEntries("\n".join(faults))
    return entries


def _entry(line: str) -> Entry:
    parts = line.split("/")
    if not 3 <= len(parts) <= 5:
        raise ValueError(f"expected client/scopes/SHA-256[/name[/last day]], got: {len(parts)} parts")
    client, scopes, hashed, name, last_day = [*parts, "", ""][:5]
    if not WORD.fullmatch(client):
        raise ValueError("expected the client to be up to 64 letters, digits, '.', '_', '@' or '-', got something else")
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


class Keyring:
    """The entries in force: those given, and those of a file, which is read again when it changes."""

    def __init__(self, text: str = "", path: Path | None = None) -> None:
        """Read them now.

        Raises:
            MalformedEntries: naming those that are wrong.
            OSError, UnicodeDecodeError: the file cannot be read.
        """
        self._given = parse(text)
        self._path = path
        self._stamp = self._look()
        self._filed = self._read()

    def __bool__(self) -> bool:
        return bool(self._given or self._filed)

    def add(self, entry: str) -> None:
        """Accept one more, until this process ends."""
        self._given += parse(entry)

    def find(self, token: str) -> Entry | None:
        """The entry of this token, unless there is none or it has expired.

        Every entry is compared, each in constant time, so that the answer's delay tells nothing.
        """
        self._refresh()
        wanted, found = digest(token), None
        for entry in (*self._given, *self._filed):
            if hmac.compare_digest(entry.digest, wanted):
                found = entry
        expired = found and found.last_day and found.last_day < datetime.now(UTC).date()
        return None if expired else found

    def _refresh(self) -> None:
        # A file that is gone or wrong changes nothing: half a rotation must not lock everyone out.
        try:
            if (stamp := self._look()) == self._stamp:
                return
            self._stamp = stamp
            self._filed = self._read()
            log.info("tokens read again", entries=len(self._filed))
        except (OSError, ValueError) as error:
            log.error("tokens not read again, the earlier ones stay", error=type(error).__name__)

    def _look(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        seen = self._path.stat()
        return seen.st_mtime_ns, seen.st_ino, seen.st_size

    def _read(self) -> list[Entry]:
        return parse(self._path.read_text("utf-8")) if self._path else []

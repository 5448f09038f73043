"""The tokens in force: entries of API_TOKENS, and those of a file, which is read again when it changes."""

import hmac
from pathlib import Path

import structlog

from service.api.tokens import MINT, Entry, MalformedEntries, digest, read

log = structlog.get_logger()

GIVEN, FILED = "API_TOKENS", "API_TOKENS_FILE"


class Keyring:
    """Whose a token is; tokens rotate by the file, or by more than one entry for each client."""

    def __init__(self, text: str = "", path: Path | None = None) -> None:
        """Read them now.

        Raises:
            MalformedEntries: naming every one that is wrong, the file if it cannot be read, and the remedy.
        """
        self._given, faults = read(text)
        self._path = path
        # What the file said when it was read, or what kept it from being read.
        self._said = self._look()
        self._filed, wrong = self._read() if path else ([], [])
        if faults := [*(f"{GIVEN}: {fault}" for fault in faults), *wrong]:
            raise MalformedEntries("\n".join([*faults, f"To make an entry: {MINT}"]))

    def entries(self) -> list[tuple[str, Entry]]:
        """Every entry, with the variable that it came by."""
        # By what it says: its time may not tell of a second change within a moment.
        if (said := self._look()) != self._said:
            self._said = said
            filed, faults = self._read()
            if faults:
                # A file that is gone or wrong changes nothing: half a rotation must not lock everyone out.
                log.error("tokens not read again, the earlier ones stay", faults=faults)
            else:
                log.info("tokens read again", entries=len(filed))
                self._filed = filed
        return [(GIVEN, entry) for entry in self._given] + [(FILED, entry) for entry in self._filed]

    def add(self, entry: str) -> None:
        """Accept one more, until this process ends."""
        self._given += read(entry)[0]

    def find(self, token: str) -> Entry | None:
        """The entry of this token, unless there is none or it has expired."""
        return found if (found := self.match(token)) and found.standing != "expired" else None

    def match(self, token: str) -> Entry | None:
        """The entry of this token, be it expired.

        Every entry is compared, each in constant time, so that the answer's delay tells nothing.
        """
        wanted, found = digest(token), None
        for _, entry in self.entries():
            if hmac.compare_digest(entry.digest, wanted):
                found = entry
        return found

    def _look(self) -> tuple[str, str]:
        if self._path is None:
            return "", ""
        if not self._path.is_file():
            # What is a pipe would be waited for, with each request.
            return "", "none"
        try:
            return self._path.read_text("utf-8"), ""
        except (OSError, UnicodeDecodeError) as error:
            return "", type(error).__name__

    def _read(self) -> tuple[list[Entry], list[str]]:
        text, kept = self._said
        if kept:
            return [], [f"{FILED}: expected a file of entries, got: {kept}"]
        entries, faults = read(text)
        given = {entry.digest: entry for entry in self._given}
        if any(given.get(entry.digest, entry) != entry for entry in entries):
            faults.append(f"expected a token to have one entry, got: another for one of {GIVEN}")
        if not entries and not faults:
            faults.append("expected at least one entry, got: none")
        return entries, [f"{FILED}: {fault}" for fault in faults]

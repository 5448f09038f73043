"""The tokens in force: entries of API_TOKENS, and those of a file, which is read again when it changes."""

import hmac
import time
from pathlib import Path

import structlog

from service.api.tokens import Entry, MalformedEntries, digest, read

log = structlog.get_logger()

GIVEN, FILED = "API_TOKENS", "API_TOKENS_FILE"

# Seconds in which a file may change twice without its time telling: one that is younger is read again.
SETTLED = 1.0

Stamp = tuple[int, int, int]
UNSETTLED = (0, 0, 0)


class Keyring:
    """Whose a token is; tokens rotate by the file, or by more than one entry for each client."""

    def __init__(self, text: str = "", path: Path | None = None) -> None:
        """Read them now.

        Raises:
            MalformedEntries: naming every one that is wrong, and the file if it cannot be read.
        """
        self._given, faults = read(text)
        faults = [f"{GIVEN}: {fault}" for fault in faults]
        self._path = path
        self._filed: list[Entry] = []
        # What the file looked like when it was read, and what was wrong with it then.
        self._stamp = _settled(self._look())
        self._faults: list[str] = []
        if path is not None:
            self._filed, self._faults = self._read(path)
        if faults or self._faults:
            raise MalformedEntries("\n".join([*faults, *self._faults]))

    def entries(self) -> list[tuple[str, Entry]]:
        """Every entry, with the variable that it came by."""
        return [(GIVEN, entry) for entry in self._given] + [(FILED, entry) for entry in self._filed]

    def add(self, entry: str) -> None:
        """Accept one more, until this process ends."""
        self._given += read(entry)[0]

    def find(self, token: str) -> Entry | None:
        """The entry of this token, unless there is none or it has expired."""
        found = self.match(token)
        return None if found is None or found.standing == "expired" else found

    def match(self, token: str) -> Entry | None:
        """The entry of this token, be it expired.

        Every entry is compared, each in constant time, so that the answer's delay tells nothing.
        """
        self._refresh()
        wanted, found = digest(token), None
        for _, entry in self.entries():
            if hmac.compare_digest(entry.digest, wanted):
                found = entry
        return found

    def _refresh(self) -> None:
        if self._path is None or (stamp := self._look()) == self._stamp:
            return
        self._stamp = _settled(stamp)
        filed, faults = self._read(self._path)
        if faults:
            # A file that is gone or wrong changes nothing: half a rotation must not lock everyone out.
            if faults != self._faults:
                log.error("tokens not read again, the earlier ones stay", faults=faults)
        elif filed != self._filed or self._faults:
            log.info("tokens read again", entries=len(filed))
            self._filed = filed
        self._faults = faults

    def _look(self) -> Stamp | None:
        try:
            # Through links: Kubernetes replaces a mounted file by pointing a link elsewhere.
            seen = self._path.stat() if self._path else None
        except OSError:
            return None
        return (seen.st_mtime_ns, seen.st_ino, seen.st_size) if seen else None

    def _read(self, path: Path) -> tuple[list[Entry], list[str]]:
        try:
            entries, faults = read(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            return [], [f"{FILED}: expected a file of entries, got: {type(error).__name__}"]
        given = {entry.digest: entry for entry in self._given}
        if any(given.get(entry.digest, entry) != entry for entry in entries):
            faults.append(f"expected a token to have one entry, got: another for one of {GIVEN}")
        if not entries and not faults:
            faults.append("expected at least one entry, got: none")
        return entries, [f"{FILED}: {fault}" for fault in faults]


def _settled(stamp: Stamp | None) -> Stamp | None:
    """The stamp, or one that no file has: then it is read again at the next request."""
    return UNSETTLED if stamp and time.time() - stamp[0] / 1e9 < SETTLED else stamp

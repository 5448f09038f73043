"""`python -m tests.support.shelf forward staging two`: `make deploy` for a place that is a folder (SHELF).

Each step writes its name into `at`, and waits for as long as a file `hold-STEP` is there.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import __main__ as command
from deploy.platform import Failed, Once, Record, Refused


class Shelf:
    """Implements `deploy.platform.Place`."""

    def __init__(self, environment: str) -> None:
        self.folder = Path(os.environ["SHELF"])

    def reach(self, version: str) -> None:
        if version == "missing":
            raise Refused("expected an image of missing, got: none; build it first")

    def lock(self, holder: str) -> None:
        try:
            (self.folder / "lock").open("x").write(holder)
        except FileExistsError as error:
            holder = (self.folder / "lock").read_text()
            raise Refused(f"expected nobody else to deploy, got: {holder}; rm {self.folder}/lock") from error

    def unlock(self, holder: str) -> None:
        if (self.folder / "lock").read_text() == holder:
            (self.folder / "lock").unlink()

    def record(self) -> Record | None:
        kept: dict[str, Any] = self._read("record")
        return Record(**kept) if kept else None

    def remember(self, record: Record) -> None:
        (self.folder / "record").write_text(json.dumps(record.fields()))

    def versions(self) -> Mapping[str, str]:
        found: dict[str, str] = self._read("versions")
        return found

    def once(self, what: Once, version: str) -> str:
        self._stay(what)
        return ""

    def replace(self, role: str, version: str) -> None:
        self._stay(role)
        (self.folder / "versions").write_text(json.dumps({**self.versions(), role: version}))
        if version == "bad" and role == "api":
            raise Failed("expected api to be healthy within 300 s, got: a crash")

    def _read(self, name: str) -> Any:
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else {}

    def _stay(self, step: str) -> None:
        (self.folder / "at").write_text(step)
        while (self.folder / f"hold-{step}").exists():
            time.sleep(0.02)


if __name__ == "__main__":
    command._open = Shelf
    try:
        command.main(prog_name="make deploy")
    except (Refused, Failed) as error:
        sys.exit(str(error))

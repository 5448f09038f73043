"""A place to deploy to that is this machine: each role a real process, told its version as an image would tell it."""

import json
import subprocess
import sys
from collections.abc import Mapping

from deploy.platform import Failed, Once, Record, Refused
from service.api.tokens import mint
from tests.support.stack import ROOT, Role, Stack, free_port, until


class Machine:
    """Implements `deploy.platform.Place`; `broken` are versions whose API cannot start."""

    def __init__(self, stack: Stack, *broken: str) -> None:
        self.stack, self.broken = stack, broken
        self.roles: dict[str, tuple[str, Role]] = {}
        self.port = free_port()
        self._files = stack.directory / "place"
        self._files.mkdir()
        _, entry = mint("shop", ("jobs:read", "jobs:write"))
        self.environment = {"API_TOKENS": entry, "PORT": f"{self.port}", "API_URL": f"http://127.0.0.1:{self.port}"}

    def reach(self, version: str) -> None:
        """There is no image to look for."""

    def lock(self, holder: str) -> None:
        try:
            (self._files / "lock").open("x").write(holder)
        except FileExistsError as error:
            raise Refused("expected nobody to deploy, got: somebody") from error

    def unlock(self, holder: str) -> None:
        (self._files / "lock").unlink(missing_ok=True)

    def record(self) -> Record | None:
        path = self._files / "record"
        return Record(**json.loads(path.read_text())) if path.exists() else None

    def remember(self, record: Record) -> None:
        (self._files / "record").write_text(json.dumps(record.fields()))

    def versions(self) -> Mapping[str, str]:
        return {role: version for role, (version, _) in self.roles.items()}

    def once(self, what: Once, version: str) -> str:
        words = ["service", "migrate"] if what == "migrate" else ["deploy.inside", what]
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", *words],
            cwd=ROOT,
            env=self.stack.environment | self.environment | {"SERVICE_VERSION": version},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        if run.returncode:
            raise Failed(f"expected {what} to exit with 0, got: {run.returncode}: {_last(run.stderr)}")
        return run.stdout

    def replace(self, role: str, version: str) -> None:
        if role in self.roles:
            self.roles[role][1].stop()
        starts = role != "api" or version not in self.broken
        away = {} if starts else {"DATABASE_URL": f"sqlite:///{self._files}/no/such.db"}
        made = self.stack.start(*role.split("-", 1), ready=False, **self.environment, SERVICE_VERSION=version, **away)
        self.roles[role] = (version, made)
        sign = "api listening" if role == "api" else "worker ready" if role.startswith("worker") else "beat"
        until(lambda: made.said(sign) or made.process.poll() is not None, seconds=60)
        if made.process.poll() is not None:
            raise Failed(f"expected {role} to run, got: {_last(made.log.read_text())}")


def _last(text: str) -> str:
    return text.strip().splitlines()[-1]

"""The containers of one environment, as Compose made them on the host."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from deploy.compose.host import ASK_SECONDS, LOOK_SECONDS, Host, words
from deploy.platform import Failed
from service import NAME

FILE = Path(__file__).with_name("compose.yaml")
LABEL = "com.docker.compose"
# Says of which file and settings a container was made.
MADE_OF = "deploy.made-of"

# A container that ended so often after it was started is not waited for any longer.
MAX_RESTARTS = 3

# Lines of a container's log that are looked at for the reason.
LOG_LINES = "5"


@dataclass(frozen=True)
class Container:
    """One of a role, and what Docker says of it."""

    id: str
    service: str
    image: str
    made_of: str
    created: str
    running: bool
    health: str
    restarts: int
    probe: str

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        """Of `docker inspect`."""
        state, labels = said["State"], said["Config"]["Labels"]
        health = state.get("Health") or {}
        probes = health.get("Log") or [{"Output": ""}]
        return cls(
            id=said["Id"],
            service=labels[f"{LABEL}.service"],
            image=said["Config"]["Image"],
            made_of=labels.get(MADE_OF, ""),
            created=said["Created"],
            running=state["Status"] == "running",
            health=health.get("Status", ""),
            restarts=said["RestartCount"],
            probe=probes[-1]["Output"],
        )

    @property
    def healthy(self) -> bool:
        """Whether it runs, and its probe says so."""
        return self.running and self.health == "healthy"

    @property
    def version(self) -> str:
        """The tag of its image."""
        return self.image.rpartition(":")[2]


class Project:
    """Compose's own commands, each with the variables of its file, and what came of them."""

    def __init__(self, host: Host, environment: str, port: str) -> None:
        self.host = host
        self.name = f"{NAME}-{environment}"
        self._environment, self._port = environment, port

    @property
    def made_of(self) -> str:
        """What containers of now are made of, beside the image: Compose's file, and the service's settings."""
        settings = Path(os.environ.get("SETTINGS_FILE", ""))
        made_of = FILE.read_bytes() + (settings.read_bytes() if settings.is_file() else b"")
        return hashlib.sha256(made_of).hexdigest()[:16]

    def compose(self, version: str, *command: str, seconds: float = ASK_SECONDS, **more: str) -> str:
        """Run a command of Compose's, with the image of this version.

        Raises:
            Failed: in its own last words.
        """
        env = {
            "MADE_OF": self.made_of,
            "IMAGE": os.environ.get("IMAGE", ""),
            "SETTINGS_FILE": str(Path(os.environ.get("SETTINGS_FILE", "")).resolve()),
            "TARGET_ENV": self._environment,
            "VERSION": version,
            "API_PORT": self._port or "8000",
            **more,
        }
        before = ["compose", "--progress", "quiet", "--file", str(FILE)]
        return self.host.docker(*before, *command, seconds=seconds, env=env).decode(errors="replace")

    def containers(self, *services: str) -> list[Container]:
        """All of these services, or all there are, the oldest first, whether they run or not."""
        filters = [f"label={LABEL}.project={self.name}", f"label={LABEL}.oneoff=False"]
        asked = [word for each in filters for word in ("--filter", each)]
        ids = self.host.docker("ps", "--all", "--quiet", "--no-trunc", *asked).decode().split()
        if not ids:
            return []
        found = [Container.read(each) for each in json.loads(self.host.docker("inspect", *ids))]
        wanted = [each for each in found if not services or each.service in services]
        return sorted(wanted, key=lambda container: container.created)

    def wait(self, container: Container, deadline: float) -> None:
        """Wait until it is healthy.

        Raises:
            Failed: it is not in time, or will not be.
        """
        while True:
            now = next((each for each in self.containers(container.service) if each.id == container.id), None)
            if now and now.healthy:
                return
            if now is None or now.health == "unhealthy" or now.restarts >= MAX_RESTARTS or time.monotonic() > deadline:
                raise Failed(self._sick(container, now))
            time.sleep(LOOK_SECONDS)

    def _sick(self, container: Container, now: Container | None) -> str:
        who = f"{container.service} {container.version}"
        if now is None:
            return f"expected {who} to become healthy, got: its container was removed by somebody else"
        state = f"{now.health or 'not running'}, restarted {now.restarts} times"
        try:
            log = self.host.docker("logs", "--tail", LOG_LINES, container.id, whole=True)
            said = words(log.decode(errors="replace"))
        except Failed as error:
            said = str(error)
        probe = words(now.probe).rpartition(" | ")[2]
        return f"expected {who} to become healthy, got: {state}; its probe said: {probe or 'nothing'}; its log: {said}"

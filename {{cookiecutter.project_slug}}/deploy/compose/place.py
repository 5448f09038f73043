"""One virtual machine with Docker: how a deploy changes what runs there."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.compose.host import Host
from deploy.compose.project import Container, Project
from deploy.compose.proxy import Proxy
from deploy.platform import ROLES, STEP_SECONDS, Failed, Once, Record, Refused

FOLDER = Path(__file__).parent
API = ("api-1", "api-2")

# What a killed deploy left over gives way after so many seconds.
LOCK_SECONDS = 3600

COMMANDS: dict[Once, list[str]] = {
    "fit": ["--entrypoint", "python", "once", "-m", "deploy.inside", "fit"],
    "migrate": ["once", "migrate"],
    "verify": ["--entrypoint", "python", "once", "-m", "deploy.inside", "verify"],
}


def open(environment: str) -> "Compose":  # noqa: A001 - what every place calls it
    """The place that `ENVIRONMENT.env` beside this file describes.

    Raises:
        Refused: there is no such file.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.env"))
    if environment not in known:
        raise Refused(f"expected TARGET_ENV to be {' or '.join(known)}, got: {environment or 'nothing'}; name one")
    return Compose(environment, settings((FOLDER / f"{environment}.env").read_text()))


def settings(text: str) -> dict[str, str]:
    """The variables of a file that a shell could read, too."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


class Compose:
    """An environment on one machine."""

    def __init__(self, environment: str, values: Mapping[str, str]) -> None:
        self._environment, self._values = environment, values
        key = os.environ.get("DEPLOY_KEY_FILE", "")
        self._host = Host(values.get("DOCKER_HOST", ""), values.get("HOST_KEY", ""), key, self._demand_settings)
        self._project = Project(self._host, environment, values.get("API_PORT", ""))
        self._proxy = Proxy(self._project)
        self._lock = f"{self._project.name}-lock"

    def reach(self, version: str) -> None:
        self._demand_settings()
        image = f"{os.environ['IMAGE']}:{version}"
        try:
            self._host.docker("version")
            self._host.docker("compose", "version")
        except Failed as error:
            raise Refused(
                f"{error}; install Docker there and Compose here, and let {self._host.login} use it"
            ) from error
        try:
            self._project.compose(version, "config", "--quiet")
        except Failed:
            # Compose's own words quote the line, which may be the database's password.
            what = "expected SETTINGS_FILE to be NAME=value on each line, got: one that Compose cannot read"
            raise Refused(f"{what}; write a value with a $, a quote or a space in single quotes") from None
        try:
            self._host.docker("image", "inspect", image)
        except Failed:
            # Fetched here, so that no role waits for it; nothing runs in it yet.
            self._fetch(image)

    def lock(self, holder: str) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        labels = ["--label", f"holder={holder}", "--label", f"since={since}"]
        run = ["run", "--detach", "--rm", "--no-deps", "--name", self._lock, *labels, "lock"]
        try:
            # Docker gives a name once, and this container ends by itself.
            self._project.compose("none", *run, seconds=STEP_SECONDS, LOCK_SECONDS=f"{LOCK_SECONDS}")
        except Failed as error:
            held = self._held()
            if not held:
                raise Refused(f"{error}; nothing was changed; run this again") from error
            raise Refused(
                f"expected nobody else to deploy to {self._environment}, got: {held['holder']} "
                f"since {held['since']} UTC; wait for its end, or break it: "
                f"ssh {self._host.login} docker rm --force {self._lock}"
            ) from error

    def unlock(self, holder: str) -> None:
        if self._held().get("holder") == holder:
            self._remove(self._lock)

    def record(self) -> Record | None:
        kept = self._records()
        if not kept:
            return None
        labels = kept[max(kept)]
        return Record(labels["version"], labels["before"], labels["state"], labels.get("came", ""))

    def remember(self, record: Record) -> None:
        # A volume's labels stay as they are: the newest one counts, and is there before the one before it goes.
        kept = self._records()
        number = max(kept, default=0) + 1
        fields = {**record.fields(), "record": self._project.name, "number": str(number)}
        labels = [word for name, value in fields.items() for word in ("--label", f"{name}={value}")]
        self._host.docker("volume", "create", *labels, self._record(number))
        for old in kept:
            self._host.docker("volume", "rm", self._record(old))

    def versions(self) -> Mapping[str, str]:
        found: dict[str, list[str]] = {}
        for container in self._project.containers():
            role = "api" if container.service in API else container.service
            if role in ROLES:
                found.setdefault(role, []).append(container.version)
        return {role: " and ".join(dict.fromkeys(found[role])) for role in ROLES if role in found}

    def once(self, what: Once, version: str) -> str:
        name = f"{self._project.name}-{what}"
        # What a killed deploy left running would be at it still; what a database did not commit, it takes back.
        self._remove(name)
        command = ["run", "--rm", "--no-deps", "--no-TTY", "--name", name, *COMMANDS[what]]
        try:
            return self._project.compose(version, *command, seconds=STEP_SECONDS)
        finally:
            self._remove(name)

    def replace(self, role: str, version: str) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        if role == "api":
            self._replace_api(version, deadline)
        elif role == "beat":
            self._renew(role, version, deadline)
        else:
            self._relieve(role, version, deadline)

    def _replace_api(self, version: str, deadline: float) -> None:
        """One container after the other, while the proxy asks the other alone; first one that answers nobody anyway."""
        healthy = {each.service for each in self._project.containers(*API) if each.healthy}
        for name in sorted(API, key=lambda each: each in healthy):
            (other,) = {*API} - {name}
            now = self._project.containers(*API)
            if any(each.service == name and each.healthy for each in self._of(version, now)):
                continue
            if any(each.service == other and each.healthy for each in now):
                self._proxy.point(other, version, deadline)
            self._renew(name, version, deadline)
        self._proxy.point("api", version, deadline)

    def _renew(self, service: str, version: str, deadline: float) -> None:
        """Stop the old one, then start the new one, since there may be one of it."""
        left = deadline - time.monotonic()
        self._project.compose(version, "up", "--detach", "--no-deps", service, seconds=left)
        for container in self._of(version, self._project.containers(service)):
            self._project.wait(container, deadline)

    def _relieve(self, service: str, version: str, deadline: float) -> None:
        """Start a new one beside the old; that one goes when the new one is at work, and hands back what it has."""
        now = self._project.containers(service)
        if not self._of(version, now):
            more = ["--no-recreate", "--scale", f"{service}={len(now) + 1}"]
            left = deadline - time.monotonic()
            self._project.compose(version, "up", "--detach", "--no-deps", *more, service, seconds=left)
        now = self._project.containers(service)
        new, *_ = self._of(version, now)
        if not new.running:
            self._host.docker("start", new.id)
        self._project.wait(new, deadline)
        for old in now:
            if old.id != new.id:
                # Docker waits as long as `stop_grace_period` says.
                self._host.docker("stop", old.id, seconds=deadline - time.monotonic())
                self._host.docker("rm", old.id)

    def _of(self, version: str, containers: list[Container]) -> list[Container]:
        """Those that are what the file and the settings make of this version."""
        made_of = self._project.made_of
        return [each for each in containers if (each.version, each.made_of) == (version, made_of)]

    def _demand_settings(self) -> None:
        missing = list(self._missing())
        if missing:
            raise Refused(f"expected settings for {self._environment}, got: {'; '.join(missing)}; set them")

    def _missing(self) -> Iterator[str]:
        for name in ("DOCKER_HOST", "HOST_KEY"):
            if not self._values.get(name):
                yield f"no {name} in deploy/compose/{self._environment}.env"
        if self._values.get("DOCKER_HOST") and not self._values["DOCKER_HOST"].startswith("ssh://"):
            yield f"DOCKER_HOST {self._values['DOCKER_HOST']}, which is no ssh://user@host"
        if not os.environ.get("IMAGE"):
            yield "no IMAGE, the image without its tag"
        for name, what in {"SETTINGS_FILE": "of the service's variables", "DEPLOY_KEY_FILE": "of an SSH key"}.items():
            value = os.environ.get(name, "")
            # Without a key of its own, SSH goes by the person's agent.
            if not Path(value).is_file() and (value or name != "DEPLOY_KEY_FILE"):
                yield f"no file {what} in {name}"

    def _fetch(self, image: str) -> None:
        user, password = os.environ.get("REGISTRY_USER", ""), os.environ.get("REGISTRY_PASSWORD", "")
        first, _, rest = image.partition("/")
        try:
            # Without a name to show, it goes by whatever `docker login` this person has done.
            with tempfile.TemporaryDirectory() as folder:
                env = {"DOCKER_CONFIG": folder} if user else {}
                if user:
                    login = ["login", "--username", user, "--password-stdin", *([first] if rest else [])]
                    self._host.docker(*login, env=env, stdin=password.encode())
                self._host.docker("pull", "--quiet", image, seconds=STEP_SECONDS, env=env)
        except Failed as error:
            remedy = "build and push it first, or set REGISTRY_USER and REGISTRY_PASSWORD"
            raise Refused(f"expected the image {image} to be there, got: {error}; {remedy}") from error

    def _held(self) -> dict[str, str]:
        """The labels of the lock; nothing when there is none."""
        said = self._inspect(self._lock)
        return {"holder": "somebody", "since": said["Created"], **said["Config"]["Labels"]} if said else {}

    def _remove(self, name: str) -> None:
        """Remove a container, whatever it does, if there is one."""
        if said := self._inspect(name):
            self._host.docker("rm", "--force", said["Id"])

    def _inspect(self, name: str) -> dict[str, Any]:
        try:
            (said,) = json.loads(self._host.docker("inspect", "--type", "container", name))
        except Failed:
            return {}
        return dict(said)

    def _records(self) -> dict[int, dict[str, Any]]:
        wanted = f"label=record={self._project.name}"
        names = self._host.docker("volume", "ls", "--quiet", "--filter", wanted).decode().split()
        if not names:
            return {}
        labels = [each["Labels"] for each in json.loads(self._host.docker("volume", "inspect", *names))]
        return {int(each["number"]): each for each in labels}

    def _record(self, number: int) -> str:
        return f"{self._project.name}-record-{number}"

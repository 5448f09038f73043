"""A machine to deploy to: the real Docker engine behind a real sshd, on loopback, with a database and a broker."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.conftest import UV, git

IMAGE = "deploy-to-a-machine"
# What answers in every container's network, and on this machine: Docker's own bridge.
HERE = "172.17.0.1"
# The versions, which are tags in the repository as well: one after the other, and one whose API is never ready.
FIRST, SECOND, BROKEN = "v1", "v2", "v3-broken"

SSHD = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
"""

DRIVE = """
import dataclasses, json, sys
from deploy.compose import place as module
from deploy.platform import Failed, Record, Refused
place = module.open(sys.argv[1])
try:
    {}
except (Refused, Failed) as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"expected it within {seconds} s, got: no such thing"
        time.sleep(0.2)


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def docker(*words: str) -> str:
    """Run a command of Docker's on the engine itself, and give what it printed."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Machine:
    """A rendered service, whose `staging` is this machine."""

    service: Path
    folder: Path
    port: int
    api_port: int = field(default_factory=free_port)
    token: str = ""

    @property
    def environ(self) -> dict[str, str]:
        """What a deploy is given."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "VIRTUAL_ENV"))}
        files = {"SETTINGS_FILE": f"{self.folder}/settings", "DEPLOY_KEY_FILE": f"{self.folder}/key"}
        return {**ours, **files, "IMAGE": IMAGE, "PYTHONUNBUFFERED": "1"}

    @property
    def address(self) -> str:
        """As `staging.env` names it."""
        path = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")).path
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    @property
    def api(self) -> httpx.Client:
        """The API, through the proxy."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", headers=headers, trust_env=False, timeout=30)

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Begin `python -m deploy`."""
        command = [f"{self.service}/.venv/bin/python", "-m", "deploy", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.service, env=self.environ | environ, stdout=pipe, stderr=pipe, text=True
        )

    def refused(self, *words: str, **environ: str) -> str:
        """What `python -m deploy` says when it does not do as asked: one line."""
        with self.start(*words, **environ) as process:
            said, wrong = process.communicate(timeout=600)
        assert process.returncode == 1, said + wrong
        assert wrong.count("\n") == 1, wrong
        return wrong

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run make, as a person does."""
        command = ["make", *words, "TARGET_ENV=staging"]
        return subprocess.run(command, cwd=self.service, env=self.environ, capture_output=True, text=True, check=False)

    def drive(self, code: str, environment: str = "staging") -> str:
        """Do something with the place itself, which is `place`, in a process of its own."""
        command = [sys.executable, "-B", "-c", DRIVE.format(code), environment]
        run = subprocess.run(
            command, cwd=self.service, env=self.environ, capture_output=True, text=True, timeout=400, check=False
        )
        return (run.stdout + run.stderr).strip()

    def runs(self) -> dict[str, str]:
        """The version of each container of a role."""
        kept = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={self.service.name}-staging")
        if not kept:
            return {}
        labels = [each["Config"]["Labels"] for each in json.loads(docker("inspect", *kept.split()))]
        version, service = "org.opencontainers.image.version", "com.docker.compose.service"
        return {each[service]: each[version] for each in labels if each.get(version)}

    def remove(self) -> None:
        """Take away what was deployed."""
        name = f"{self.service.name}-staging"
        for kind, command in {"ps --all": "rm --force", "volume ls": "volume rm", "network ls": "network rm"}.items():
            found = docker(*kind.split(), "--quiet", "--filter", f"label=com.docker.compose.project={name}")
            if kind == "volume ls":
                found += "\n" + docker(*kind.split(), "--quiet", "--filter", f"label=record={name}")
            if found.strip():
                docker(*command.split(), *found.split())


@contextmanager
def machine(rendered: Path, folder: Path) -> Iterator[Machine]:
    """The machine, and images of every version; nothing is deployed yet."""
    made = Machine(shutil.copytree(rendered, folder / rendered.name), folder, free_port())
    for key in ("host", "key", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{key}"], check=True)
    # As the files of a CI often are.
    (folder / "key").write_text((folder / "key").read_text().rstrip())
    (folder / "key").chmod(0o644)
    (folder / "sshd_config").write_text(SSHD.format(port=made.port, folder=folder))
    Path("/run/sshd").mkdir(exist_ok=True)
    log = (folder / "sshd.log").open("w")
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/sshd_config"], stderr=log)
    stores = [
        docker("run", "--detach", "--publish", f"{HERE}::5432", *_env("POSTGRES", "service"), "postgres:17.11-alpine"),
        docker("run", "--detach", "--publish", f"{HERE}::6379", "redis:8.10.1-alpine"),
    ]
    try:
        _repository(made)
        _images(made)
        made.token, entry = _token()
        at = [docker("port", store).splitlines()[0].rpartition(" ")[2] for store in stores]
        (folder / "settings").write_text(
            f"DATABASE_URL=postgresql://service:of-the-test@{at[0]}/service\nBROKER_URL=redis://{at[1]}/0\n"
            f"API_TOKENS={entry}\nRATE_LIMIT=off\nOUTBOUND_ALLOW=172.16.0.0/12\n"
        )
        made.remove()
        yield made
    finally:
        made.remove()
        docker("rm", "--force", "--volumes", *stores)
        server.terminate()
        server.wait()


def _env(product: str, name: str) -> list[str]:
    values = {"USER": name, "PASSWORD": "of-the-test", "DB": name}
    return [word for key, value in values.items() for word in ("--env", f"{product}_{key}={value}")]


def _repository(made: Machine) -> None:
    """Its environments written and committed, and a commit for each version."""
    key = " ".join((made.folder / "host.pub").read_text().split()[:2])
    stranger = " ".join((made.folder / "stranger.pub").read_text().split()[:2])
    for name, host_key in {"staging": key, "production": stranger}.items():
        (made.service / "deploy" / "compose" / f"{name}.env").write_text(
            f"DOCKER_HOST={made.address}\nHOST_KEY=[127.0.0.1]:{made.port} {host_key}\nAPI_PORT={made.api_port}\n"
        )
    (made.service / "deploy" / "compose" / "empty.env").write_text("DOCKER_HOST=\nHOST_KEY=\n")
    subprocess.run(["make", "setup"], cwd=made.service, check=True)
    subprocess.run([UV, "sync", "--quiet", "--group", "deploy"], cwd=made.service, check=True)
    git(made.service, "init", "--initial-branch=main")
    git(made.service, "add", "--all")
    for version in (FIRST, SECOND, BROKEN):
        git(made.service, "commit", "--allow-empty", "--message", version)
        git(made.service, "tag", version)


def _images(made: Machine) -> None:
    for version in (FIRST, SECOND, BROKEN):
        build = ["build", "--quiet", "--build-arg", f"SERVICE_VERSION={version}", "--tag", f"{IMAGE}:{version}"]
        docker(*build, str(made.service))
    broken = f'FROM {IMAGE}:{BROKEN}\nUSER root\nRUN sed -i \'s/"current", "newer"/"never"/\' service/api/health.py\n'
    (made.folder / "broken").mkdir()
    (made.folder / "broken" / "Dockerfile").write_text(broken + "USER 10001:10001\n")
    docker("build", "--quiet", "--tag", f"{IMAGE}:{BROKEN}", str(made.folder / "broken"))


def _token() -> tuple[str, str]:
    scopes = ["--scope", "jobs:read", "--scope", "jobs:write"]
    made = json.loads(docker("run", "--rm", f"{IMAGE}:{FIRST}", "tokens", "new", "--client", "load", *scopes, "--json"))
    return made["token"], made["entry"]

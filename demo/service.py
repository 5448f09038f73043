"""The rendered service as the demo runs it: its own environment, and a process group for each role."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parent.parent
# Two instead of ten, so that the death of a worker is noticed while somebody watches.
HEARTBEAT_SECONDS = 2
START_SECONDS = 30
STOP_SECONDS = 20


class DemoError(Exception):
    """The demo cannot go on; the message says what was expected."""


class Service:
    """A service in a scratch folder: rendered, installed, and run on embedded stores."""

    def __init__(self, outbound_allow: str) -> None:
        scratch = REPOSITORY / ".demo"
        scratch.mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="run-", dir=scratch))
        self.project = self.folder / "order-desk"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.broker_port, port = free_port(), free_port()
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        self.environment = own_environment() | {
            "ENVIRONMENT": "test",
            "DATABASE_URL": f"sqlite:///{self.folder}/service.db",
            "BROKER_URL": f"redis://127.0.0.1:{self.broker_port}/0",
            "PORT": str(port),
            "STATE_DIR": str(self.folder),
            "OUTBOUND_ALLOW": outbound_allow,
            "HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
        }

    def render(self) -> None:
        """Render the template with its default answers."""
        config = self.folder / "cookiecutter.yaml"
        config.write_text(f"replay_dir: {self.folder}\ncookiecutters_dir: {self.folder}\n")
        options = ["--no-input", "--config-file", str(config), "--output-dir", str(self.folder)]
        self._run(self.folder, sys.executable, "-m", "cookiecutter", *options, str(REPOSITORY))

    def install(self) -> None:
        """Lock and install what the service depends on, with its own Makefile."""
        self._run(self.project, "make", "--no-print-directory", "setup")

    def start(self) -> None:
        """Start the broker, make the tables, start every role, and wait until the API is ready."""
        self.start_process("broker", "local.broker", "--port", str(self.broker_port), "--dir", f"{self.folder}/broker")
        self._run(self.project, *self._python("service", "migrate"))
        self._authorise()
        for role in ("api", "worker fast", "worker slow", "beat"):
            self.start_role(role)
        wait_for(self._ready, "the API to be ready", START_SECONDS)

    def start_role(self, role: str) -> int:
        """Start a role; the id is its process's and its group's."""
        return self.start_process(role.replace(" ", "-"), "service", *role.split())

    def start_process(self, name: str, *words: str) -> int:
        """Start a module of the service in a process group of its own, with a log file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self._python(*words),
                cwd=self.project,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.processes[name].pid

    def kill(self, name: str) -> None:
        """SIGKILL a process and its children: nothing of it can tidy up."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def died(self) -> list[str]:
        """The processes that ended although nobody asked them to."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def stop(self) -> None:
        """Ask every role to end, then the broker, and end what does not."""
        for names in ([name for name in self.processes if name != "broker"], ["broker"]):
            stopping = {name: self.processes[name] for name in names if name in self.processes}
            for process in stopping.values():
                process.terminate()
            for name, process in stopping.items():
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self.kill(name)

    def remove(self) -> None:
        """Delete the scratch folder."""
        shutil.rmtree(self.folder)

    def _authorise(self) -> None:
        scopes = ["--scope", "jobs:read", "--scope", "jobs:write"]
        words = self._python("service", "tokens", "new", "--client", "demo", *scopes, "--json")
        made = json.loads(self._run(self.project, *words))
        self.environment["API_TOKENS"] = made["entry"]
        self.api.headers["Authorization"] = f"Bearer {made['token']}"

    def _ready(self) -> bool:
        for name in self.died():
            said = (self.folder / f"{name}.log").read_text().strip().rpartition("\n")[2]
            raise DemoError(f"expected {name} to run, got: {said}")
        try:
            return self.api.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def _python(self, *words: str) -> list[str]:
        return [str(self.project / ".venv" / "bin" / "python"), "-m", *words]

    def _run(self, folder: Path, *command: str) -> str:
        run = subprocess.run(command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        if run.returncode:
            raise DemoError(f"expected `{' '.join(command)}` to succeed, got: {run.stdout}{run.stderr}")
        return run.stdout


def own_environment() -> dict[str, str]:
    """This process's environment without its virtual environment, and with the uv that runs it on PATH."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    uv = Path(environment.get("UV", "uv"))
    return environment | {"PATH": f"{environment['PATH']}{os.pathsep}{uv.parent}"}


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Ask again until the condition holds.

    Raises:
        DemoError: it did not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"expected {what} within {seconds:g} s, got: nothing")
        time.sleep(0.05)

"""The machine that a deploy goes to: one SSH connection, and Docker's commands through it."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.platform import REACH_SECONDS, Failed, Refused

# Where Docker listens on a machine that does not say otherwise.
SOCKET = "/var/run/docker.sock"

# Seconds: for a command of Docker's that only asks; between two looks at something; of silence, until SSH gives up.
ASK_SECONDS = 20
LOOK_SECONDS = 1.0
SILENT_SECONDS = 15

# Lines, and characters, of somebody else's last words that are passed on.
LINES, CHARACTERS = 4, 600

# What would point Docker, or its TLS, elsewhere.
FOREIGN = {"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}


def words(text: str) -> str:
    """The end of what a program said, on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-LINES:])[-CHARACTERS:]


class Host:
    """Docker on another machine: `address` is ssh://user@host:port/path/of/its/socket, of which only host must be.

    The connection is one for all commands, and ends with this process, however that ends. Before the first one `demand`
    is asked whether all of it is known.
    """

    def __init__(self, address: str, host_key: str, key_file: str, demand: Callable[[], None]) -> None:
        self.address, self._host_key, self._key_file, self._demand = address, host_key, key_file, demand
        self._ssh: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._reached = False

    @property
    def login(self) -> str:
        """As one would write it behind `ssh`."""
        url = urlsplit(self.address)
        port = f"-p {url.port} " if url.port else ""
        return f"{port}{url.username}@{url.hostname}" if url.username else f"{port}{url.hostname}"

    def connect(self) -> None:
        """Be let in, unless that was done.

        Raises:
            Refused: nobody answered within REACH_SECONDS, it is another machine, or it lets nobody in with this key.
            Failed: the same, of one that did let this deploy in before.
        """
        if self._ssh and self._ssh.poll() is None:
            return
        if not self._reached:
            self._demand()
        self._disconnect()
        self._folder = Path(tempfile.mkdtemp(prefix="deploy-"))
        atexit.register(self._disconnect)
        said = self._folder / "said"
        with said.open("wb") as errors:
            # `cat` ends with its input, which ends with this process: nothing is left behind, on neither machine.
            self._ssh = start(self._command(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        deadline = time.monotonic() + REACH_SECONDS
        while not (self._folder / "docker").exists():
            if self._ssh.poll() is not None or time.monotonic() > deadline:
                reason = words(said.read_text(errors="replace")) or "no answer"
                self._disconnect()
                # Once it was reached, something may have been changed.
                raise (Failed if self._reached else Refused)(
                    f"expected `ssh {self.login}` to let this deploy in within {REACH_SECONDS} s, got: {reason}; "
                    "correct DOCKER_HOST, HOST_KEY (ssh-keyscan prints it) or DEPLOY_KEY_FILE"
                )
            time.sleep(LOOK_SECONDS / 10)
        self._reached = True
        (self._folder / "key").unlink(missing_ok=True)

    def docker(
        self,
        *command: str,
        seconds: float = ASK_SECONDS,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        whole: bool = False,
    ) -> bytes:
        """What a command of Docker's prints there, on standard output, and when `whole` on standard error.

        Raises:
            Refused: the machine cannot be reached.
            Failed: the command did, or it took longer, or the machine cannot be reached any more.
        """
        self.connect()
        inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        environment = {**inherited, **(env or {}), "DOCKER_HOST": f"unix://{self._folder}/docker"}
        process = start(
            ["docker", *command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        shown = f"docker {' '.join(word for word in command[:1])}"
        try:
            said, errors = process.communicate(stdin, timeout=max(seconds, 1))
        except BaseException as error:
            # Whoever interrupts a deploy does not want a command of it to go on unseen.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"expected `{shown}` to end within {seconds:.0f} s, got: no end") from error
            raise
        if process.returncode:
            reason = words((said + errors).decode(errors="replace")) or f"exit code {process.returncode}"
            raise Failed(f"expected `{shown}` to do as asked on {urlsplit(self.address).hostname}, got: {reason}")
        return said + errors if whole else said

    def _command(self) -> list[str]:
        url = urlsplit(self.address)
        known = self._folder / "known_hosts"
        known.write_text(f"{self._host_key}\n")
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": f"{REACH_SECONDS}",
            "ControlPath": "none",
            "ExitOnForwardFailure": "yes",
            "GlobalKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ServerAliveInterval": f"{SILENT_SECONDS // 3}",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f"{known}",
        }
        if self._key_file:
            # CI's files are often open to all and lack the last line's end, and ssh takes neither. It goes once let in.
            key = self._folder / "key"
            key.touch(mode=0o600)
            key.write_text(Path(self._key_file).read_text().rstrip() + "\n")
            options |= {"IdentitiesOnly": "yes", "IdentityAgent": "none", "IdentityFile": f"{key}"}
        forward = ["-L", f"{self._folder}/docker:{url.path.rstrip('/') or SOCKET}"]
        port = ["-p", str(url.port)] if url.port else []
        user = ["-l", url.username] if url.username else []
        chosen = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-T", *chosen, *forward, *port, *user, "--", url.hostname or "", "cat"]

    def _disconnect(self) -> None:
        if self._ssh:
            self._ssh.kill()
            self._ssh.communicate()
            self._ssh = None
        if self._folder.name:
            shutil.rmtree(self._folder, ignore_errors=True)


def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
    """Start a program out of reach of the terminal's Ctrl-C, which is for this process to understand.

    Raises:
        Refused: it is not installed.
    """
    try:
        return subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload,no-any-return]
    except FileNotFoundError as error:
        raise Refused(f"expected {command[0]} to be installed here, got: none on PATH; install it") from error

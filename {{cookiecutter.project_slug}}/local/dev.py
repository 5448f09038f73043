"""`make dev`: every role of the Procfile on embedded stores, until Ctrl-C."""

import fcntl
import http.client
import itertools
import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from honcho.environ import parse_procfile
from honcho.manager import Manager

from local.broker import HOST, BrokerError, free_port
from local.example import example
from local.stores import PROJECT, environment, service, stores

READY_SECONDS = 60


def main() -> int:
    """Run everything; the exit code is 0 after Ctrl-C, and not 0 if a role stopped by itself."""
    # Stopped from outside, or by the closing of its terminal, it tidies up as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        with own_folder() as folder, stores(folder) as variables:
            return run(folder, variables)
    except KeyboardInterrupt:
        return 0
    except BrokerError as error:
        print(error, file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"expected `{shlex.join(error.cmd[1:])}` to succeed, got: exit code {error.returncode}", file=sys.stderr)
    return 1


@contextmanager
def own_folder() -> Iterator[Path]:
    """Take the first `.local/dev-N` that no other run holds: a second run has its own, a later one finds the jobs."""
    for number in itertools.count(1):
        folder = PROJECT / ".local" / f"dev-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield folder
            return


def run(folder: Path, variables: dict[str, str]) -> int:
    """Run the Procfile's roles side by side until one stops, or all are told to."""
    scopes = ["--scope", "jobs:read", "--scope", "jobs:write", "--scope", "jobs:admin"]
    token = json.loads(service(variables, "tokens", "new", "--client", "dev", *scopes, "--json"))
    port = free_port(preferred=int(os.environ.get("PORT", "8000")))
    variables |= {"API_TOKENS": token["entry"], "HOST": HOST, "PORT": str(port)}
    (folder / "env").write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))

    roles = parse_procfile((PROJECT / "Procfile").read_text()).processes
    heartbeats = [folder / f"{role}.heartbeat" for role in roles if role != "api"]
    for file in heartbeats:
        file.unlink(missing_ok=True)
    manager = Manager()
    for role, command in roles.items():
        manager.add_process(role, command, env=environment(variables), cwd=PROJECT)
    multiprocessing.Process(target=greet, args=(port, token["token"], folder, heartbeats), daemon=True).start()
    manager.loop()
    told = manager.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    if told:
        return 0
    print(
        "expected every role to run until Ctrl-C, got: one that ended by itself, as the lines above say; "
        f"the jobs are kept in {folder.relative_to(PROJECT)}, and the next `make dev` goes on with them",
        file=sys.stderr,
    )
    return manager.returncode or 1


def greet(port: int, token: str, folder: Path, heartbeats: Sequence[Path]) -> None:
    """Wait until the API is ready and every other role alive, then say where it is and how to call it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    deadline = time.monotonic() + READY_SECONDS
    while not (ready(port) and all(file.exists() for file in heartbeats)):
        if time.monotonic() > deadline:
            print(f"expected every role to be ready within {READY_SECONDS} s, got: not so; the lines above say why")
            return
        time.sleep(0.1)
    address, place = f"http://{HOST}:{port}", folder.relative_to(PROJECT)
    print(
        f"\n  The service is ready at {address}, its documentation at {address}/docs.\n"
        f"  Token:   {token}\n"
        f"  Operate: . {place}/env && .venv/bin/python -m service jobs list\n"
        f"  Stores:  {place} (they stay; delete the folder to start afresh)\n\n"
        f"  {call(address, token)}\n",
        flush=True,
    )


def call(address: str, token: str) -> str:
    """Order the example; where there is none, list the jobs."""
    order = example()
    if order is None:
        return f"curl -i {address}/v1/jobs -H 'Authorization: Bearer {token}'"
    words = ["curl", "-i", f"{address}{order.path}", "-H", f"Authorization: Bearer {token}"]
    return shlex.join([*words, "-H", "Content-Type: application/json", "-d", json.dumps(order.body)])


def ready(port: int) -> bool:
    """Ask the API whether it is."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())

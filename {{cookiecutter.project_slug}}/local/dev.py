"""`make dev`: every role of the Procfile on embedded stores, until Ctrl-C."""

import fcntl
import http.client
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from honcho.environ import parse_procfile
from honcho.manager import Manager

from local.broker import HOST, Broker, BrokerError, free_port

PROJECT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60

# The request that the greeting shows; choose another one when you remove the reports.
EXAMPLE_PATH = "/v1/reports"
EXAMPLE_BODY = {"title": "Q3", "rows": 1000}


def main() -> int:
    """Run everything; the exit code is 0 after Ctrl-C, and not 0 if a role stopped by itself."""
    # Stopped from outside, or by the closing of its terminal, it tidies up as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        with own_folder() as folder, Broker(folder / "broker") as broker:
            return run(folder, broker)
    except KeyboardInterrupt:
        return 0
    except BrokerError as error:
        print(error, file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"expected `{' '.join(error.cmd[1:5])}` to succeed, got: exit code {error.returncode}", file=sys.stderr)
    return 1


@contextmanager
def own_folder() -> Iterator[Path]:
    """The first `.local/dev-N` that no other run holds: a second `make dev` has its own, a later one finds the jobs."""
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


def run(folder: Path, broker: Broker) -> int:
    """Migrate, then run the Procfile's roles side by side."""
    port = free_port(preferred=int(os.environ.get("PORT", "8000")))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "ENVIRONMENT": "development",
        "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
        "BROKER_URL": broker.url,
        "HOST": HOST,
        "PORT": str(port),
        "STATE_DIR": str(folder),
    }
    token = new_token(environment)
    environment["API_TOKENS"] = token["entry"]
    subprocess.run([sys.executable, "-m", "service", "migrate"], check=True, env=environment, cwd=PROJECT)

    manager = Manager()
    for role, line in parse_procfile((PROJECT / "Procfile").read_text()).processes.items():
        manager.add_process(role, line, env=environment, cwd=PROJECT)
    multiprocessing.Process(target=greet, args=(port, token["token"], folder), daemon=True).start()
    manager.loop()
    return 0 if manager.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM} else manager.returncode or 1


def new_token(environment: Mapping[str, str]) -> dict[str, str]:
    """A token with every scope: `token` is the secret, `entry` what API_TOKENS holds."""
    words = ["tokens", "new", "--client", "dev", "--json"]
    for scope in ("jobs:read", "jobs:write", "jobs:admin"):
        words += ["--scope", scope]
    made = subprocess.run(
        [sys.executable, "-m", "service", *words], check=True, env=environment, cwd=PROJECT, stdout=subprocess.PIPE
    )
    return dict(json.loads(made.stdout))


def greet(port: int, token: str, folder: Path) -> None:
    """Wait until the API is ready, then say where it is and how to call it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    deadline = time.monotonic() + READY_SECONDS
    while not ready(port):
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)
    address = f"http://{HOST}:{port}"
    print(
        f"\n  The service is ready at {address}, its documentation at {address}/docs.\n"
        f"  Token:  {token}\n"
        f"  Stores: {folder.relative_to(PROJECT)} (they stay; delete the folder to start afresh)\n\n"
        f"  curl -i {address}{EXAMPLE_PATH} -H 'Authorization: Bearer {token}' "
        f"-H 'Content-Type: application/json' -d '{json.dumps(EXAMPLE_BODY)}'\n",
        flush=True,
    )


def ready(port: int) -> bool:
    """Whether the API says that it is."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())

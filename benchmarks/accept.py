"""Accepting: requests a second that one process answers with 202, how long each waits, and what it costs."""

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from benchmarks.contestant import BODY, PATH
from benchmarks.load import CONNECTIONS
from benchmarks.processes import Process, Trouble, run
from benchmarks.stage import REPOSITORY, Ready, Stage
from benchmarks.timing import ROUNDS, medians, rounded

SECONDS = 2.0
WARM_SECONDS = 1.0

ABOUT = (
    f"{CONNECTIONS} connections, one process of each; the rendered service keeps its rate limit and its limit of "
    "waiting jobs, set higher than the load"
)


def measure(stage: Stage, rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, Any]:
    """Requests a second, milliseconds, CPU milliseconds a request, and MB, of each contestant."""
    servers: dict[str, tuple[Ready, Process, int]] = {}
    found: dict[str, list[dict[str, float]]] = {}
    for name, ready in stage.all().items():
        try:
            ready.empty()
            servers[name] = (ready, *serving(ready))
            drive(ready, *servers[name][1:], WARM_SECONDS)
        except Trouble as error:
            servers.pop(name, None)
            stage.trouble(name, error)
    for round_ in range(rounds):
        print(f"  accept: round {round_ + 1} of {rounds}", flush=True)
        for name, (ready, server, port) in servers.items():
            try:
                found.setdefault(name, []).append(drive(ready, server, port, seconds))
            except Trouble as error:
                stage.trouble(name, error)
    for _, server, _ in servers.values():
        server.stop()
    return {"about": ABOUT, "contestants": {name: rounded(medians(each)) for name, each in found.items() if each}}


def serving(ready: Ready) -> tuple[Process, int]:
    """Its API, once it has accepted a job.

    Raises:
        Trouble: it does not.
    """
    server, port = ready.api()
    server.wait(lambda: accepts(ready, port), 60)
    return server, port


def accepts(ready: Ready, port: int) -> bool:
    """Whether it takes a job, and whether it lets nobody in without a token."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {ready.stage.token}"}
    address = f"http://127.0.0.1:{port}{PATH}"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, BODY.encode(), headers), timeout=5) as answer:
            status = answer.status
        urllib.request.urlopen(urllib.request.Request(address, BODY.encode(), headers | {"Authorization": "Bearer x"}))
    except urllib.error.HTTPError as error:
        return error.code == 401 and status == 202
    except (OSError, UnboundLocalError):
        return False
    raise Trouble(f"expected {ready.name} to refuse a wrong token, got: 202")


def drive(ready: Ready, server: Process, port: int, seconds: float) -> dict[str, float]:
    """Load one of them.

    Raises:
        Trouble: it answers with something else than 202.
    """
    stores = [ready.stage.redis.process, *([ready.stage.postgresql.process] if ready.contestant.postgresql else [])]
    wanted = {"port": port, "path": PATH, "token": ready.stage.token, "body": BODY, "seconds": seconds}
    before = server.cpu(), sum(store.cpu() for store in stores)
    said = json.loads(run(sys.executable, "-m", "benchmarks.load", json.dumps(wanted), folder=REPOSITORY))
    # What is still under way belongs to it.
    time.sleep(0.2)
    after = server.cpu(), sum(store.cpu() for store in stores)
    if said["refused"] or not said["accepted"]:
        raise Trouble(f"expected {ready.name} to answer with 202, got: {said['refused']:g} other answers")
    return {
        "requests_per_second": said["requests_per_second"],
        "p50_ms": said["p50_ms"],
        "p99_ms": said["p99_ms"],
        "cpu_ms": (after[0] - before[0]) / said["accepted"] * 1000,
        "stores_cpu_ms": (after[1] - before[1]) / said["accepted"] * 1000,
        "memory_mb": server.memory(),
    }

"""What it costs to be observed: jobs per second from the request to the end, all of it on and all of it off.

Runs in the rendered service's environment. The contestants take turns, so that a slow minute is everyone's.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from service.api.tokens import mint  # type: ignore[import-not-found]
from service.jobs import query  # type: ignore[import-not-found]
from tests.support.door import PATH  # type: ignore[import-not-found]
from tests.support.stack import ROOT, Stack, free_port, until  # type: ignore[import-not-found]

JOBS = 400
CLIENTS = 4
ROUNDS = 5
# One job in so many fails, so that Sentry has something to do.
FAILING = 50

Environment = Mapping[str, str]


def main(rounds: int = ROUNDS) -> None:
    """Print the jobs per second of each contestant, and what it costs beside all off."""
    with sink() as (metrics, other):
        off = {"LOG_LEVEL": "ERROR"}
        on = {
            "LOG_LEVEL": "INFO",
            "SENTRY_DSN": f"http://key@127.0.0.1:{other}/1",
            "DD_AGENT_HOST": "127.0.0.1",
            "DD_DOGSTATSD_PORT": f"{metrics}",
        }
        traced = on | {"DD_TRACE_ENABLED": "true", "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{other}"}
        contestants: dict[str, Environment] = {"all off": off, "all on but ddtrace": on, "all on": traced}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        # The first round warms the machine, and does not count.
        for round_ in range(rounds + 1):
            for name, environment in contestants.items():
                done = work(environment)
                found[name] += [done] if round_ else []
    for name, rows in found.items():
        speed, cost = (statistics.median(column) for column in zip(*rows, strict=True))
        pairs = list(zip(rows, found["all off"], strict=True))
        slower = 100 * (1 - statistics.median(ours[0] / plain[0] for ours, plain in pairs))
        dearer = 100 * (statistics.median(ours[1] / plain[1] for ours, plain in pairs) - 1)
        words = f"{speed:4.0f} jobs/s ({slower:.0f} % fewer), {cost * 1000:.1f} ms of CPU a job ({dearer:.0f} % more)"
        print(f"  {words}  {name}", flush=True)
    print("  promised: at most 15 % fewer without ddtrace", flush=True)


def work(environment: Environment) -> tuple[float, float]:
    """Order jobs over HTTP and see them done; gives jobs per second, and seconds of CPU a job."""
    token, entry = mint("bench", ("jobs:read", "jobs:write"))
    with tempfile.TemporaryDirectory() as name:
        it = Stack(Path(name), HEARTBEAT_SECONDS="10", API_TOKENS=entry, RATE_LIMIT="off", DOOR="open", **environment)
        it.environment["PORT"] = f"{free_port()}"
        roles: list[Role] = []
        try:
            it.prepare()
            roles += [Role(it, "worker", "fast"), Role(it, "api")]
            url = f"http://127.0.0.1:{it.environment['PORT']}"
            until(lambda: query.alive("worker"), seconds=60)
            until(lambda: answers(url), seconds=60)
            it.ended(it.submit("trials.echo", value="x").id, seconds=60)
            before = sum(role.cpu() for role in roles)
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client, ThreadPoolExecutor(CLIENTS) as pool:
                ids = list(pool.map(lambda number: order(client, number), range(JOBS)))
            rows = it.ended(*ids, seconds=300)
            seconds = (max(row.ended_at for row in rows) - min(row.created_at for row in rows)).total_seconds()
            return JOBS / seconds, (sum(role.cpu() for role in roles) - before) / JOBS
        finally:
            for role in roles:
                role.stop()
            it.end()


def order(client: httpx.Client, number: int) -> str:
    """Order one job; gives its id."""
    body = {"task": "trials.echo", "arguments": {"value": "x"}}
    if number % FAILING == 0:
        body = {"task": "trials.broken", "arguments": {}}
    answer = client.post(PATH, json=body)
    answer.raise_for_status()
    return str(answer.json()["id"])


def answers(url: str) -> bool:
    """Whether the API does."""
    try:
        return httpx.get(f"{url}/health/ready").is_success
    except httpx.TransportError:
        return False


class Role:
    """A role whose log is a pipe that is read, as a platform reads it."""

    def __init__(self, it: Stack, *words: str) -> None:
        command = [sys.executable, "-m", "tests.support", *words]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=it.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        assert self._process.stdout is not None
        while os.read(self._process.stdout.fileno(), 65536):
            pass

    def cpu(self) -> float:
        """Seconds of CPU that it and its children have taken."""
        group = [self._process.pid, *children(self._process.pid)]
        ticks = 0
        for pid in group:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Stop it, and whatever it started."""
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def sink() -> Iterator[tuple[int, int]]:
    """Whoever takes metrics, events and traces, as a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.sink"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        metrics, other = process.stdout.readline().split()
        yield int(metrics), int(other)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))

"""A Datadog agent, as far as this service speaks to one: it takes metrics as datagrams, and traces over HTTP."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.ports import free_port
from tests.support.waiting import until

DATAGRAM = re.compile(r"(?P<name>[a-z._]+):(?P<value>[0-9.e-]+)\|(?P<kind>c|d|g)\|#(?P<tags>\S+)\n")


@dataclass(frozen=True)
class Metric:
    """One datagram, and the port that it came from: each process has its own."""

    name: str
    value: float
    kind: str
    tags: Mapping[str, str]
    port: int


class Metrics:
    """Takes datagrams, and keeps them; one that is no metric is an error at the end."""

    def __init__(self) -> None:
        self.seen: list[Metric] = []
        self.garbage: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        # What a service is told of it.
        self.environment = {"DD_AGENT_HOST": "127.0.0.1", "DD_DOGSTATSD_PORT": f"{self.port}"}

    def of(self, name: str, **tags: str) -> list[Metric]:
        """The metrics of this name that have these tags."""
        return [each for each in list(self.seen) if each.name == name and tags.items() <= each.tags.items()]

    def counts(self, task: str) -> dict[str, int]:
        """How often each thing happened to jobs of a task."""
        counted = [each for each in list(self.seen) if each.kind == "c" and each.tags.get("task") == task]
        return {name: sum(each.name == name for each in counted) for name in sorted({each.name for each in counted})}

    def _run(self) -> None:
        while True:
            data, (_, port) = self._socket.recvfrom(65536)
            if not data:
                return
            if (found := DATAGRAM.fullmatch(data.decode())) is None:
                self.garbage.append(data)
                continue
            tags = dict(tag.split(":", 1) for tag in found["tags"].split(","))
            self.seen.append(Metric(found["name"], float(found["value"]), found["kind"], tags, port))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()
        assert self.garbage == []


Span = dict[str, Any]


class Traces:
    """Datadog's own test agent, a real process."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.environment = {
            "DD_TRACE_ENABLED": "true",
            "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{self.port}",
        }
        self._log = directory / "agent.log"

    def spans(self, trace_id: str | None = None) -> list[Span]:
        """What arrived, oldest first; `trace_id` is the whole one, in hex."""
        traces = httpx.get(f"http://127.0.0.1:{self.port}/test/traces", timeout=10).json()
        spans = [span for trace in traces for span in trace]
        wanted = [span for span in spans if trace_id is None or int(trace_id[-16:], 16) == span["trace_id"]]
        return sorted(wanted, key=lambda span: span["start"])

    def __enter__(self) -> Self:
        command = [str(Path(sys.executable).with_name("ddapm-test-agent")), f"--port={self.port}"]
        with self._log.open("wb") as output:
            # Its OTLP ports are its own to choose otherwise, and two agents would meet there.
            own = [f"--otlp-http-port={free_port()}", f"--otlp-grpc-port={free_port()}"]
            self._process = subprocess.Popen([*command, *own], stdout=output, stderr=output)
        until(self._answers, seconds=30)
        return self

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/info", timeout=5).is_success
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)

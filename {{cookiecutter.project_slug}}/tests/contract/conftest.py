"""A real service on a free port, and callers of several kinds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import config, database
from service.api import tokens
from service.jobs import catalogue, schema
from tests.contract.conformance import conform

START_SECONDS = 20
CALLERS = {
    "anna": ("shop", ("jobs:read", "jobs:write")),
    "reader": ("shop", ("jobs:read",)),
    "bert": ("crm", ("jobs:read", "jobs:write")),
    "operator": ("ops", ("jobs:admin",)),
}


@dataclass(frozen=True)
class Service:
    """A running service and the tokens that it takes."""

    url: str
    tokens: Mapping[str, str]
    environment: Mapping[str, str]

    def caller(self, name: str | None = None) -> httpx.Client:
        """Open a connection of one caller; every answer on it is held against the specification."""
        headers = {"Authorization": f"Bearer {self.tokens[name]}"} if name else {}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=10, event_hooks={"response": [lambda answer: _held(answer)]}
        )


def _held(answer: httpx.Response) -> None:
    answer.read()
    conform(answer)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A migrated database with its catalogue, for this process and the service's; there is no broker."""
    folder = tmp_path_factory.mktemp("contract")
    minted = {name: tokens.mint(client, scopes, name=name) for name, (client, scopes) in CALLERS.items()}
    values = {
        "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
        "BROKER_URL": "redis://127.0.0.1:1/0",
        "ENVIRONMENT": "test",
        "API_TOKENS": ",".join(entry for _, entry in minted.values()),
        "OUTBOUND_ALLOW": "127.0.0.1",
        "PORT": "0",
        "STATE_DIR": str(folder),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        forget()
        schema.upgrade()
        catalogue.announce(TASKS)
        yield values | {name: token for name, (token, _) in minted.items()}
    forget()


def forget() -> None:
    """Let this process read its settings again."""
    config.settings.cache_clear()
    database.engine.cache_clear()


TASKS = [
    catalogue.Entry("reports.export", "slow", {"type": "object"}, soft_limit=10, hard_limit=20, max_retries=3),
    catalogue.Entry("notifications.send", "fast", {"type": "object"}, soft_limit=10, hard_limit=20, max_retries=3),
]


@pytest.fixture(scope="session")
def service(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The `api` role in a process of its own."""
    log = tmp_path_factory.mktemp("api") / "log"
    with running(environment, log) as url:
        yield Service(url, {name: environment[name] for name in CALLERS}, environment)


class running:
    """An API's process for the length of a `with` block, which gets its address."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.environment = {**os.environ, **environment}
        self.log = log

    def __enter__(self) -> str:
        with self.log.open("wb") as output:
            command = [sys.executable, "-m", "service", "api"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                if '"api listening"' in line:
                    return str(json.loads(line)["address"])
            time.sleep(0.05)
        raise AssertionError(f"the api did not start: {self.log.read_text()}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def anna(service: Service) -> Iterator[httpx.Client]:
    """A caller who may read and write."""
    with service.caller("anna") as client:
        yield client


@pytest.fixture
def bert(service: Service) -> Iterator[httpx.Client]:
    """Another client's caller."""
    with service.caller("bert") as client:
        yield client


@pytest.fixture
def operator(service: Service) -> Iterator[httpx.Client]:
    """One who may do everything."""
    with service.caller("operator") as client:
        yield client


@pytest.fixture
def report(anna: httpx.Client) -> Callable[[], dict[str, Any]]:
    """Order a report, which nobody will make."""

    def order() -> dict[str, Any]:
        body: dict[str, Any] = anna.post("/v1/reports", json={"title": "Q3", "rows": 10}).json()
        return body

    return order

"""A real service on stores of its own, and callers of several kinds."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from service.api.tokens import mint
from service.jobs import submit
from service.webhooks import secrets
from tests.contract.conformance import conform
from tests.support.page import Page
from tests.support.stack import Role, Stack, until

CALLERS = {
    "anna": ("shop", ("jobs:read", "jobs:write")),
    "reader": ("shop", ("jobs:read",)),
    "bert": ("crm", ("jobs:read", "jobs:write")),
    "operator": ("ops", ("jobs:admin",)),
}

Make = Callable[[], str]


@dataclass(frozen=True)
class Service:
    """An API that runs, and the tokens that it takes."""

    url: str
    tokens: Mapping[str, str]

    def caller(self, name: str | None = None) -> httpx.Client:
        """Open a connection of one caller, or of a stranger; every answer is held against the specification."""
        headers = {"Authorization": f"Bearer {self.tokens[name]}"} if name else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10, event_hooks={"response": [_hold]})


def _hold(answer: httpx.Response) -> None:
    answer.read()
    conform(answer)


@pytest.fixture(scope="package")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stores of all these tests; no worker is there, so jobs stay as they are."""
    stack = Stack(tmp_path_factory.mktemp("contract"), os.environ.get("TEST_DATABASE_URL"), PORT="0")
    try:
        stack.prepare()
        yield stack
    finally:
        stack.end()


@pytest.fixture(scope="package")
def service(stores: Stack) -> Iterator[Service]:
    """The API in a process of its own."""
    with opened(stores) as made:
        yield made


@pytest.fixture(scope="package")
def brokerless(stores: Stack) -> Iterator[Service]:
    """An API whose broker is away."""
    with opened(stores, BROKER_URL="redis://127.0.0.1:1/0") as made:
        yield made


@contextmanager
def opened(stores: Stack, **environment: str) -> Iterator[Service]:
    """Run an API that knows the callers, for the length of a block."""
    minted = {name: mint(client, scopes, name=name) for name, (client, scopes) in CALLERS.items()}
    environment = {"API_TOKENS": ",".join(entry for _, entry in minted.values()), **environment}
    with serving(stores, WEBHOOK_SECRETS=secrets.mint("shop")[1], **environment) as (url, _):
        yield Service(url, {name: token for name, (token, _) in minted.items()})


@contextmanager
def serving(stores: Stack, **environment: str) -> Iterator[tuple[str, Role]]:
    """Run an API for the length of a block; gives its address and its process."""
    role = stores.start("api", ready=False, **environment)
    until(lambda: role.said("api listening") or role.process.poll() is not None)
    lines = role.log.read_text().splitlines()
    started = [json.loads(line) for line in lines if '"api listening"' in line]
    assert started, "\n".join(lines)
    yield started[0]["address"], role
    role.stop()


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
def job(stores: Stack) -> Make:
    """Make a job of anna's client, which nobody will run; gives its id."""
    return lambda: submit("trials.sleep", {"seconds": 60}, client="shop").id


@pytest.fixture
def page(service: Service) -> Iterator[Page]:
    """The page, with nobody signed in."""
    made = Page(service.url)
    yield made
    made.client.close()


@pytest.fixture
def inside(page: Page, service: Service) -> Page:
    """The page, with the operator signed in."""
    assert page.sign_in(service.tokens["operator"]).status_code == 303
    return page

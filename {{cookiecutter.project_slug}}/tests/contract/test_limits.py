"""What one client may ask for: so many requests in a time, and so many jobs that wait."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import redis

from service.api.tokens import mint
from service.jobs import operate
from tests.contract.conftest import Service, serving
from tests.support.front import Front
from tests.support.stack import ROOT, Role, Stack, until

pytestmark = pytest.mark.slow

ORDER = {"url": "https://example.com/", "message": "hello"}
AWAY = "redis://127.0.0.1:1/0"


class Api:
    """An API with limits, and a client of its own name, so that no other test used anything up."""

    def __init__(self, url: str, role: Role, tokens: list[str]) -> None:
        self.url, self.role, self.tokens = url, role, tokens

    def ask(self, token: int | str = 0, path: str = "/v1/queues") -> httpx.Response:
        """Ask something small."""
        given = self.tokens[token] if isinstance(token, int) else token
        return httpx.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {given}"})

    def statuses(self, number: int, token: int = 0) -> dict[int, int]:
        """How many of so many requests were answered in which way."""
        return Counter(self.ask(token).status_code for _ in range(number))


@pytest.fixture
def clients() -> tuple[list[str], str]:
    """Two tokens of one client and one of another, with their entries."""
    one, other = (f"client-{os.urandom(4).hex()}" for _ in range(2))
    minted = [mint(client, ["jobs:read", "jobs:write"], name=str(n)) for n, client in enumerate((one, one, other))]
    return [token for token, _ in minted], ",".join(entry for _, entry in minted)


@contextmanager
def limited(stores: Stack, clients: tuple[list[str], str], **environment: str) -> Iterator[Api]:
    """Run an API for the length of a block."""
    with serving(stores, API_TOKENS=clients[1], **environment) as (url, role):
        yield Api(url, role, clients[0])


class TestRate:
    def test_who_asks_too_often_is_told_when_to_come_again(self, stores: Stack, clients: tuple[list[str], str]) -> None:
        """The request after the last is 429 with Retry-After, and is served once that has passed."""
        with limited(stores, clients, RATE_LIMIT="5/3 seconds") as api:
            assert api.statuses(5) == {200: 5}
            refused = api.ask()
            assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
            assert refused.json()["type"] == "urn:problem-type:too-many-requests"
            seconds = int(refused.headers["retry-after"])
            assert 1 <= seconds <= 3
            time.sleep(seconds)
            assert api.ask().status_code == 200

    def test_a_client_is_one_however_many_tokens_it_has(self, stores: Stack, clients: tuple[list[str], str]) -> None:
        """Its tokens share the limit; another client has its own, and health has none."""
        with limited(stores, clients, RATE_LIMIT="6/hour") as api:
            assert (api.statuses(3, 0), api.statuses(3, 1)) == ({200: 3}, {200: 3})
            assert (api.ask(0).status_code, api.ask(1).status_code, api.ask(2).status_code) == (429, 429, 200)
            assert {httpx.get(f"{api.url}/health/ready").status_code for _ in range(10)} == {200}
            assert {api.ask("wrong").status_code for _ in range(10)} == {401}

    def test_what_a_token_may_not_do_counts(self, stores: Stack) -> None:
        """Whoever is refused with 403 over and over has used up its rate like others."""
        token, entry = mint(f"client-{os.urandom(4).hex()}", ["jobs:read"], name="reader")
        with limited(stores, ([token], entry), RATE_LIMIT="3/hour") as api:
            url, headers = f"{api.url}/v1/reports", {"Authorization": f"Bearer {token}"}
            refused = [httpx.post(url, json={}, headers=headers).status_code for _ in range(5)]
            assert refused == [403, 403, 403, 429, 429]

    def test_processes_count_together(self, stores: Stack, clients: tuple[list[str], str]) -> None:
        """It does not help to ask another process."""
        with (
            limited(stores, clients, RATE_LIMIT="6/hour") as one,
            limited(stores, clients, RATE_LIMIT="6/hour") as other,
        ):
            assert (one.statuses(4), other.statuses(4)) == ({200: 4}, {200: 2, 429: 2})

    @pytest.mark.parametrize("how", ["frozen", "refused", "unreachable"])
    def test_without_redis_everyone_is_let_through(
        self, stores: Stack, clients: tuple[list[str], str], how: str
    ) -> None:
        """A Redis that is away costs the first request a moment, the others nothing, and no request is refused."""
        with Front(stores.broker.port) as front:
            url = {"frozen": stores.broker.url, "refused": AWAY, "unreachable": f"redis://127.0.0.1:{front.port}/0"}
            with limited(stores, clients, RATE_LIMIT="3/hour", REDIS_URL=url[how]) as api:
                if how != "refused":
                    assert api.statuses(4) == {200: 3, 429: 1}
                if how == "frozen":
                    os.kill(stores.broker.pid, signal.SIGSTOP)
                elif how == "unreachable":
                    front.vanish()
                try:
                    began = time.monotonic()
                    assert api.statuses(60) == {200: 60}
                    # Were each to wait for Redis, it would be twelve seconds and more.
                    assert time.monotonic() - began < 8
                    assert api.role.log.read_text().count("limits not kept") == 1
                finally:
                    if how == "frozen":
                        os.kill(stores.broker.pid, signal.SIGCONT)
                    elif how == "unreachable":
                        front.appear()
                if how != "refused":
                    until(lambda: api.role.said("limits kept again"))
                    assert api.ask().status_code == 429

    def test_counts_that_somebody_else_wrote_lock_nobody_out(self, stores: Stack) -> None:
        """Whoever can write to Redis cannot have a client wait until another century."""
        client = f"client-{os.urandom(4).hex()}"
        token, entry = mint(client, ["jobs:read"], name="test")
        with (
            limited(stores, ([token], entry), RATE_LIMIT="5/hour", REDIS_URL=stores.broker.url) as api,
            redis.Redis(port=stores.broker.port) as planted,
        ):
            assert api.statuses(6) == {200: 5, 429: 1}
            (key,) = planted.keys(f"*{client}*")
            assert planted.llen(key) == 5
            never = 99_999_999_999.0
            for moments, answers in (
                ([time.time()] * 5, {429: 3}),
                ([never] * 5, {200: 3}),
                ([0.0] * 4 + [never], {200: 3}),
            ):
                planted.delete(key)
                planted.rpush(key, *moments)
                assert api.statuses(3) == answers

    def test_where_there_is_no_redis(self, stores: Stack, clients: tuple[list[str], str]) -> None:
        """With another broker and no REDIS_URL each process counts for itself, and says so."""
        with limited(stores, clients, RATE_LIMIT="3/hour", BROKER_URL="amqp://127.0.0.1:1//") as api:
            assert api.statuses(4) == {200: 3, 429: 1}
            assert api.role.said("by each process for itself; set REDIS_URL")

    def test_off(self, stores: Stack, clients: tuple[list[str], str]) -> None:
        """It can be switched off."""
        with limited(stores, clients, RATE_LIMIT="off") as api:
            assert api.statuses(30) == {200: 30}

    def test_check_says_what_is_in_force(self, stores: Stack) -> None:
        """The operator is told which limit there is, and where it is counted."""
        checked = subprocess.run(
            [sys.executable, "-m", "service", "check"],
            cwd=ROOT, env=stores.environment | {"RATE_LIMIT": "7/minute"}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert "limits: 7/minute for each client, counted in Redis" in checked.stdout


class TestWaiting:
    def test_more_than_may_wait_are_refused(self, stores: Stack, clients: tuple[list[str], str]) -> None:
        """The job after the last is 429 with Retry-After; one less that waits makes room for one."""
        with limited(stores, clients, MAX_WAITING_JOBS="3", OUTBOUND_ALLOW="example.com") as api:

            def order(token: int = 0, key: str | None = None) -> httpx.Response:
                headers = {"Authorization": f"Bearer {api.tokens[token]}"} | ({"Idempotency-Key": key} if key else {})
                return httpx.post(f"{api.url}/v1/notifications", json=ORDER, headers=headers)

            first = order(key="first")
            assert [first.status_code, order(1).status_code, order().status_code] == [202, 202, 202]
            refused = order(key="fourth")
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:problem-type:too-many-jobs-waiting")
            assert refused.headers["retry-after"].isdecimal()
            again = order(key="first")
            assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
            assert order(2).status_code == 202
            operate.cancel(first.json()["id"], by="test", client=None)
            assert (order(key="fourth").status_code, order().status_code) == (202, 429)
            mine = {"Authorization": f"Bearer {api.tokens[0]}"}
            assert httpx.post(f"{api.url}/v1/jobs/{first.json()['id']}/retry", headers=mine).status_code == 429


class TestStrangers:
    def test_a_flood_of_wrong_tokens_asks_the_database_nothing(
        self, stores: Stack, clients: tuple[list[str], str]
    ) -> None:
        """Whoever has no token reaches the memory of one process, and nothing behind it."""
        url = stores.environment["DATABASE_URL"]
        if not url.startswith("postgresql"):
            pytest.skip("SQLite is asked without a wire on which that could be seen")
        match = re.fullmatch(r"(.*@[^:/]+):(\d+)(/.*)", url)
        assert match is not None
        with Front(int(match[2])) as front:
            through = {"DATABASE_URL": f"{match[1]}:{front.port}{match[3]}"}
            with limited(stores, clients, **through) as api, httpx.Client(base_url=api.url) as stranger:
                assert api.ask().status_code == 200
                asked = front.requests
                assert asked > 0
                for number in range(300):
                    wrong = stranger.get("/v1/jobs", headers={"Authorization": f"Bearer {number}"})
                    assert wrong.status_code == 401
                assert front.requests == asked

    @pytest.mark.parametrize("path", ["/v1/jobs", "/v1/reports", "/health/live", "/nowhere"])
    def test_no_page_of_another_site_is_let_in(self, service: Service, path: str) -> None:
        """A browser that asks on behalf of a page elsewhere is told nothing that would allow it."""
        origin = {"Origin": "https://elsewhere.example"}
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        preflight = httpx.options(service.url + path, headers=origin | asked)
        assert preflight.status_code in {404, 405}
        assert preflight.headers["content-type"] == "application/problem+json"
        for answer in (preflight, httpx.get(service.url + path, headers=origin)):
            assert not [name for name in answer.headers if name.startswith("access-control-")]

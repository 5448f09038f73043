"""What readiness makes of what its probes see."""

import asyncio
from collections.abc import Iterator

import pytest

from service.api import health
from service.api.probe import Probe
from service.config import settings
from service.database import engine


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings that name stores which are not there."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:///nowhere/at/all.db")
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("ENVIRONMENT", "test")
    cached = (settings, engine, health.database, health.broker)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize(
    ("schema", "broker", "status", "database"),
    [
        ("current", "up", 200, "up"),
        ("current", "down", 200, "up"),
        ("newer", "up", 200, "up"),
        ("older", "up", 503, "up"),
        ("unknown", "up", 503, "down"),
    ],
)
def test_ready(schema: str, broker: str, status: int, database: str) -> None:
    """Only a database that is away or too old is a reason for 503."""
    body, answered, _ = asyncio.run(health.ready(Probe(lambda: schema, "unknown"), Probe(lambda: broker, "down")))
    assert answered == status
    assert (body["database"], body["schema"], body["broker"]) == (database, schema, broker)


def test_stores_that_are_away() -> None:
    """Real stores that cannot be reached are seen as such, in time."""

    async def look() -> tuple[str, str]:
        return await health.database()(), await health.broker()()

    assert asyncio.run(look()) == ("unknown", "down")


def test_live_asks_nobody() -> None:
    """Liveness answers although nothing can be reached."""
    assert asyncio.run(health.live())[1] == 200

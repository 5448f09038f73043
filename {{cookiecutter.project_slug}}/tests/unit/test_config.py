"""The environment is read whole: every fault at once, no secret repeated."""

import re
from pathlib import Path

import pytest

from service.config import Settings, WrongSettings, read

GOOD = {"DATABASE_URL": "postgresql://u:secret@db/x", "BROKER_URL": "redis://broker/0"}


def test_two_addresses_are_enough_and_the_rest_has_defaults() -> None:
    settings = read(GOOD)
    assert settings.environment == "production"
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://u:secret@db/x"
    assert settings.redis == "redis://broker/0"


def test_all_faults_are_named_at_once_and_no_value_is_repeated() -> None:
    with pytest.raises(WrongSettings) as caught:
        read(
            {
                "BROKER_URL": "postgresql://u:hunter2@db/x",
                "PORT": "many",
                "LOG_LEVEL": "loud",
                "QUEUE_SLOW_PREFETCH": "0",
            }
        )
    message = str(caught.value)
    assert [line.partition(":")[0] for line in message.splitlines()] == [
        "QUEUE_SLOW_PREFETCH", "DATABASE_URL", "BROKER_URL", "PORT", "LOG_LEVEL",
    ]  # fmt: skip
    assert "a database is no broker" in message
    assert "hunter2" not in message


def test_a_queue_is_overridden_by_its_variable_and_an_unknown_one_is_refused() -> None:
    assert read(GOOD | {"QUEUE_SLOW_CONCURRENCY": "7"}).queues["slow"].concurrency == 7
    with pytest.raises(WrongSettings, match="QUEUE_SLWO_CONCURRENCY: expected QUEUE_<NAME>_<FIELD>"):
        read(GOOD | {"QUEUE_SLWO_CONCURRENCY": "7"})


def test_a_soft_limit_above_the_hard_one_is_refused() -> None:
    with pytest.raises(WrongSettings, match="QUEUE_FAST: expected soft_limit to be below hard_limit, got: 40 and 30"):
        read(GOOD | {"QUEUE_FAST_SOFT_LIMIT": "40"})


def test_sqlite_is_refused_where_the_service_runs_for_others() -> None:
    with pytest.raises(WrongSettings, match="expected PostgreSQL in production, got: sqlite"):
        read(GOOD | {"DATABASE_URL": "sqlite:///x.db"})
    assert read(GOOD | {"DATABASE_URL": "sqlite:///x.db", "ENVIRONMENT": "test"}).database_url


def test_the_example_lists_every_variable_in_the_order_of_the_settings() -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    listed = re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)
    assert listed == [name.upper() for name in Settings.model_fields if name != "queues"]


def test_the_example_alone_starts_nothing() -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    with pytest.raises(WrongSettings, match="DATABASE_URL: expected a value"):
        read(dict(re.findall(r"^([A-Z_]+)=(.*)", example, re.MULTILINE)))

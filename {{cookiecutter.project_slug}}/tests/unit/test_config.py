"""The environment is read whole: every fault at once, no secret repeated."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from service.config import Settings, WrongSettings, read

ROOT = Path(__file__).parents[2]
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
    example = (ROOT / ".env.example").read_text()
    listed = re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)
    assert listed == [name.upper() for name in Settings.model_fields if name != "queues"]


def test_the_example_alone_starts_no_role_and_all_that_is_missing_is_named_at_once() -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)", (ROOT / ".env.example").read_text(), re.MULTILINE))
    own = {"api": ["API_TOKENS"], "flower": ["FLOWER_PASSWORD"]}
    for role in (["api"], ["worker", "fast"], ["worker", "slow"], ["beat"], ["migrate"], ["flower"]):
        run = subprocess.run(
            [sys.executable, "-m", "service", *role], cwd=ROOT, env=example, capture_output=True, text=True, timeout=60
        )
        first, *faults = run.stderr.splitlines()
        assert (run.returncode, first) == (2, "The settings cannot be used:")
        assert [fault.partition(":")[0] for fault in faults] == ["DATABASE_URL", "BROKER_URL", *own.get(role[0], [])]
        assert all("; set it" in fault or "; make one: " in fault for fault in faults)


def test_the_passwords_of_compose_are_refused_where_the_service_runs_for_others() -> None:
    role = yaml.safe_load((ROOT / "compose.yaml").read_text())["x-role"]
    stores = {name: role["environment"][name] for name in ("DATABASE_URL", "BROKER_URL")}
    assert read(stores | {"ENVIRONMENT": "development"})
    for environment in ("staging", "production"):
        with pytest.raises(WrongSettings) as caught:
            read(stores | {"ENVIRONMENT": environment, "REDIS_URL": stores["BROKER_URL"]})
        faults = str(caught.value).splitlines()
        assert [fault.partition(" ")[0] for fault in faults] == ["DATABASE_URL:", "BROKER_URL:", "REDIS_URL:"]
        assert all("expected a password of its own" in fault for fault in faults)


def test_the_api_can_have_its_tokens_in_a_file() -> None:
    with pytest.raises(WrongSettings, match="API_TOKENS: expected at least one entry"):
        read(GOOD, "api")
    assert read(GOOD | {"API_TOKENS_FILE": "/run/tokens"}, "api").api_tokens_file

"""The environment is read whole: every fault at once, no secret repeated."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from standardwebhooks import Webhook

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
        "DATABASE_URL", "BROKER_URL", "PORT", "LOG_LEVEL", "QUEUE_SLOW_PREFETCH",
    ]  # fmt: skip
    assert "a database is no broker" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("{scheme}:/svc:hunter2@store/1", id="a slash too few"),
        pytest.param("svc:hunter2@store/1", id="no scheme"),
        pytest.param("host=store password=hunter2", id="libpq's other way"),
        pytest.param("hunter2@store://x", id="a scheme that is none"),
        pytest.param("{scheme}://svc:hunter2/more@store/1", id="slash"),
        pytest.param("{scheme}://svc:hunter2#more@store/1", id="hash"),
        pytest.param("{scheme}://svc:hunter2?more@store/1", id="question mark"),
        pytest.param("{scheme}://svc:more@hunter2@store/1", id="at"),
        pytest.param("{scheme}://svc:more@hunter2/x@store/1", id="at and slash"),
        pytest.param("{scheme}://svc:12/hunter2@store/1", id="a port at first sight"),
        pytest.param("{scheme}://svc:more[hunter2@store/1", id="bracket"),
        pytest.param("{scheme}://svc:more@store:hunter2/1", id="no port"),
        pytest.param("{scheme}://svc:more@store:70000/1", id="a port too high"),
    ],
)
@pytest.mark.parametrize(
    ("name", "scheme"),
    [("DATABASE_URL", "postgresql"), ("BROKER_URL", "redis"), ("BROKER_URL", "amqp"), ("REDIS_URL", "redis")],
)
def test_a_mistyped_url_is_refused_before_anybody_takes_its_password_for_a_host(
    name: str, scheme: str, url: str
) -> None:
    with pytest.raises(WrongSettings, match=f"^{name}: expected one of [^;]+, got: [^;]+; ") as caught:
        read(GOOD | {name: url.format(scheme=scheme)})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://u:p%40%2Fss:w%23@store:5432/x?sslmode=require&options=-c%20a%3Db"),
        ("DATABASE_URL", "postgresql://u:p@/x?host=/cloudsql/project:region:name"),
        ("DATABASE_URL", "postgresql://u:p@[2001:db8::1]:5432/x"),
        ("DATABASE_URL", "postgres://one,two/x"),
        ("BROKER_URL", "amqp://u:p@one:5672//;amqp://u:p@two:5672//"),
        ("BROKER_URL", "amqps://u:p@one;amqps://u:p@two"),
        ("BROKER_URL", "rediss://:p@store:6380/0?ssl_cert_reqs=required"),
        ("REDIS_URL", "redis://127.0.0.1"),
    ],
)
def test_a_url_that_all_read_alike_is_taken(name: str, url: str) -> None:
    assert read(GOOD | {name: url})


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://u:p@store/x?passwrd=hunter2"),
        ("BROKER_URL", "redis://:p@store/0?passwrd=hunter2"),
        ("BROKER_URL", "redis://:p@store/0?socket_timeout=hunter2"),
        ("BROKER_URL", "rediss://:p@store/0?ssl_cert_reqs=hunter2"),
        ("BROKER_URL", "amqp://u:p@store//?heartbeat=hunter2"),
        ("REDIS_URL", "redis://:p@store/0?passwrd=hunter2"),
        ("REDIS_URL", "redis://:p@store/0?db=hunter2"),
    ],
)
def test_an_option_that_no_driver_knows_is_refused_with_all_else_and_not_repeated(name: str, url: str) -> None:
    with pytest.raises(WrongSettings, match=f"(?m)^{name}: expected .* options that its driver knows, got: ") as caught:
        read(GOOD | {name: url, "PORT": "99999"})
    assert "PORT: " in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_path_of_sqlite_may_hold_any_character() -> None:
    assert read(GOOD | {"DATABASE_URL": "sqlite:////a/b@c:d#e.db", "ENVIRONMENT": "test"})


@pytest.mark.parametrize("padding", ["", "="])
def test_a_webhook_secret_of_which_a_letter_is_missing_is_refused_and_all_others_can_sign(padding: str) -> None:
    for letters in range(32, 87):
        secret = f"whsec_{'A' * letters}{padding}"
        if letters % 4 != 1:
            assert read(GOOD | {"WEBHOOK_SECRETS": f"shop/{secret}"})
            assert Webhook(secret)
            continue
        with pytest.raises(WrongSettings, match="entry 2: expected client/whsec_") as caught:
            read(GOOD | {"WEBHOOK_SECRETS": f"shop/whsec_{'B' * 32},shop/{secret}"})
        assert "AAAA" not in str(caught.value)


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

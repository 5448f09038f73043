"""The environment, read once and checked whole; no other module reads it. `.env.example` explains each variable."""

import functools
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from service.queues import MISSED_HEARTBEATS, MISSED_SWEEPS, QUEUES, SWEEP_SECONDS, Queue

# What `limits` reads, without importing it wherever the environment is read.
RATE = re.compile(r"[1-9][0-9]*/([1-9][0-9]* ?)?(second|minute|hour|day)s?")

REMEDY_STORES = "set it, or run `make dev`, which brings its own"

DEPLOYED = ("staging", "production")
# The password of compose.yaml's stores, which everybody knows.
DEVELOPMENT_PASSWORD = "development-only"  # noqa: S105 - it is refused below
# What a role cannot do without once it runs for others: any of these variables, and how to make one.
SECRETS = {
    "api": (
        ("API_TOKENS", "API_TOKENS_FILE"),
        "expected at least one entry, got: nothing; make one: "
        "python -m service tokens new --client NAME --scope jobs:read --scope jobs:write",
    ),
    "flower": (("FLOWER_PASSWORD",), "expected a password, got: nothing; make one: openssl rand -hex 16"),
}

# A client's name as in its tokens, and a secret as Standard Webhooks write it: 24 to 64 bytes in base64.
WEBHOOK_ENTRY = re.compile(r"([A-Za-z0-9._@-]{1,64})/(whsec_[A-Za-z0-9+/]{32,86}={0,2})")


class Settings(BaseModel):
    """What the environment says; frozen, and complete or not at all."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    database_url: SecretStr
    broker_url: SecretStr
    redis_url: SecretStr = SecretStr("")
    api_tokens: SecretStr = SecretStr("")
    api_tokens_file: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    max_connections: int = Field(default=800, ge=1)
    rate_limit: str = "6000/minute"
    max_waiting_jobs: int = Field(default=10_000, ge=1)
    environment: Literal["development", "test", "staging", "production"] = "production"
    service_version: str = "unknown"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    outbound_allow: str = ""
    webhook_secrets: SecretStr = SecretStr("")
    webhook_secrets_file: Path | None = None
    heartbeat_seconds: float = Field(default=10.0, ge=0.5, le=300)
    job_retention_days: int = Field(default=30, ge=1)
    state_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()))
    sentry_dsn: SecretStr = SecretStr("")
    dd_agent_host: str = ""
    dd_trace_enabled: bool = False
    flower_port: int = Field(default=5555, ge=0, le=65535)
    flower_password: SecretStr = SecretStr("")
    queues: Mapping[str, Queue] = Field(default_factory=lambda: dict(QUEUES))

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr) -> SecretStr:
        scheme, separator, rest = value.get_secret_value().partition("://")
        if separator and scheme in {"postgresql", "postgres", "postgresql+psycopg"}:
            return SecretStr(f"postgresql+psycopg://{rest}")
        if separator and scheme == "sqlite":
            return value
        raise ValueError(f"expected a postgresql:// or sqlite:/// URL, got: {scheme}…; {REMEDY_STORES}")

    @field_validator("broker_url")
    @classmethod
    def _broker(cls, value: SecretStr) -> SecretStr:
        scheme, separator, _ = value.get_secret_value().partition("://")
        if not separator or scheme not in {"redis", "rediss", "amqp", "amqps"}:
            raise ValueError(
                f"expected a redis://, rediss://, amqp:// or amqps:// URL, got: {scheme}…; "
                f"a database is no broker (every idle worker would poll it); {REMEDY_STORES}"
            )
        return value

    @field_validator("rate_limit")
    @classmethod
    def _rate(cls, value: str) -> str:
        if value.lower() == "off":
            return ""
        if not RATE.fullmatch(value.strip()):
            raise ValueError("expected requests in a time, as 6000/minute or 100/second, or off, got something else")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _webhooks(cls, value: SecretStr) -> SecretStr:
        for position, line in enumerate(re.split(r"[,\n]", value.get_secret_value()), start=1):
            if line.strip() and not WEBHOOK_ENTRY.fullmatch(line.strip()):
                remedy = "`python -m service webhooks secret` makes one"
                raise ValueError(f"entry {position}: expected client/whsec_…, got something else; {remedy}")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: str) -> str:
        return value.upper()

    @model_validator(mode="after")
    def _production(self) -> Self:
        if self.deployed and self.database_url.get_secret_value().startswith("sqlite"):
            raise ValueError(
                f"DATABASE_URL: expected PostgreSQL in {self.environment}, got: sqlite; "
                "set a postgresql:// URL, or ENVIRONMENT=development"
            )
        return self

    @property
    def deployed(self) -> bool:
        """Whether this runs for others: what is convenient on a laptop is refused here."""
        return self.environment in DEPLOYED

    @property
    def heartbeat_limit(self) -> float:
        """Seconds of silence after which a process is presumed dead."""
        return MISSED_HEARTBEATS * self.heartbeat_seconds

    @property
    def sweep_seconds(self) -> float:
        """Seconds between two sweeps of the reconciler."""
        return min(SWEEP_SECONDS, self.heartbeat_seconds)

    @property
    def sweep_limit(self) -> float:
        """Seconds after which a silent leader is replaced, and an unanswered doorbell rung again."""
        return MISSED_SWEEPS * self.sweep_seconds

    @property
    def redis(self) -> str:
        """The Redis that limits are kept in: REDIS_URL, else the broker when that is one, else nothing."""
        broker = self.broker_url.get_secret_value()
        return self.redis_url.get_secret_value() or (broker if broker.startswith("redis") else "")


class WrongSettings(Exception):
    """The environment cannot be used; the message lists every fault, a line each."""


def read(environment: Mapping[str, str], role: str = "") -> Settings:
    """Make settings of `environment`, and hold that it has what `role` needs.

    An empty variable counts as unset.

    Raises:
        WrongSettings: naming all variables that are missing or wrong; values are not repeated, since many are secret.
    """
    given = {name: value for name, value in environment.items() if value.strip()}
    values: dict[str, Any] = {name: given[name.upper()] for name in Settings.model_fields if name.upper() in given}
    values.pop("queues", None)
    faults: list[str] = []
    values["queues"] = {name: _override(name, queue, given, faults) for name, queue in QUEUES.items()}
    faults += _unknown_overrides(given)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        faults += [_sentence(fault) for fault in error.errors()]
    if given.get("ENVIRONMENT", "production") in DEPLOYED:
        faults += _secrets(given, role)
    if faults:
        raise WrongSettings("\n".join(faults))
    return settings


@functools.cache
def settings(role: str = "") -> Settings:
    """The settings of this process, read from its environment at the first call."""
    return read(os.environ, role)


def _override(name: str, queue: Queue, given: Mapping[str, str], faults: list[str]) -> Queue:
    prefix = f"QUEUE_{name}_".upper().replace("-", "_")
    changes = {field: given[prefix + field.upper()] for field in Queue.model_fields if prefix + field.upper() in given}
    try:
        return Queue.model_validate(queue.model_dump() | changes) if changes else queue
    except ValidationError as error:
        faults += [_sentence(fault, prefix) for fault in error.errors()]
        return queue


def _unknown_overrides(given: Mapping[str, str]) -> list[str]:
    known = {f"QUEUE_{queue}_{field}".upper().replace("-", "_") for queue in QUEUES for field in Queue.model_fields}
    return [
        f"{name}: expected QUEUE_<NAME>_<FIELD> with a queue and a field of queues.py, got: {name}; "
        f"correct its name (queues: {', '.join(QUEUES)})"
        for name in sorted(given)
        if name.startswith("QUEUE_") and name not in known
    ]


def _secrets(given: Mapping[str, str], role: str) -> Iterator[str]:
    """What is missing, or known to everybody, where the service runs for others."""
    for name in ("DATABASE_URL", "BROKER_URL", "REDIS_URL"):
        if f":{DEVELOPMENT_PASSWORD}@" in given.get(name, ""):
            yield (
                f"{name}: expected a password of its own, got: that of compose.yaml; "
                "give the store another (`openssl rand -hex 16` makes one), or set ENVIRONMENT=development"
            )
    names, remedy = SECRETS.get(role, ((), ""))
    if names and not given.keys() & set(names):
        yield f"{names[0]}: {remedy}"


def _sentence(fault: Any, prefix: str = "") -> str:
    name = prefix + "_".join(str(part) for part in fault["loc"]).upper()
    if fault["type"] == "missing":
        return f"{name}: expected a value, got: nothing; {REMEDY_STORES}"
    message = fault["msg"].removeprefix("Value error, ")
    # A rule over several fields names its variable itself.
    return f"{name}: {message}" if fault["loc"] else f"{prefix.rstrip('_') + ': ' if prefix else ''}{message}"

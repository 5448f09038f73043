"""The environment, read once and checked whole; no other module reads it. `.env.example` explains each variable."""

import functools
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from service.queues import MISSED_HEARTBEATS, MISSED_SWEEPS, QUEUES, SWEEP_SECONDS, Queue

# What `limits` reads, without importing it wherever the environment is read.
RATE = re.compile(r"[1-9][0-9]*/([1-9][0-9]* ?)?(second|minute|hour|day)s?")

REMEDY_STORES = "set it, or run `make dev`, which brings its own"
NO_BROKER = "a database is no broker (every idle worker would poll it); "
REMEDY_URL = "in its password, write @, :, /, ?, # and [ as %40, %3A, %2F, %3F, %23 and %5B"
REMEDY_QUERY = "correct what stands behind the ?"

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

# A client's name as in its tokens, and a secret as Standard Webhooks write it: 24 to 64 bytes in base64, all of it.
WEBHOOK_ENTRY = re.compile(r"([A-Za-z0-9._@-]{1,64})/(whsec_(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2,3})?={0,2})")

# Who reads UPSTREAMS; named and not imported, since it lies above this layer.
UPSTREAMS = "service.jobs.shapes.upstreams:read"

# How the URL of a store begins.
STORES = {"broker_url": ("redis", "rediss", "amqp", "amqps"), "redis_url": ("redis", "rediss")}
STORES["database_url"] = ("postgresql", "postgres", "postgresql+psycopg", "sqlite")


class Settings(BaseModel):
    """What the environment says; frozen, and complete or not at all."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, alias_generator=str.upper)

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
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = "INFO"
    outbound_allow: str = ""
    upstreams: Annotated[Any, BeforeValidator(lambda given, about: resolve_name(UPSTREAMS)(given, about))] = {}
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

    @field_validator("database_url", "broker_url", "redis_url")
    @classmethod
    def _url(cls, value: SecretStr, about: Any) -> SecretStr:
        scheme, separator, rest = value.get_secret_value().partition("://")
        expected = f"expected one of {'://, '.join(STORES[about.field_name])}://"
        if not separator or scheme not in STORES[about.field_name]:
            # What is no scheme may be all of the URL, its password included.
            got = f"{scheme}…" if separator and re.fullmatch("[a-z+]{1,20}", scheme) else "something else"
            note = NO_BROKER if about.field_name == "broker_url" else ""
            raise ValueError(f"{expected}, got: {got}; {note}{REMEDY_STORES}")
        if scheme != "sqlite" and not all(map(_plain, re.split(r";\w+://", rest))):
            raise ValueError(f"{expected} and an address, got: one that can be read in two ways; {REMEDY_URL}")
        try:
            _open(scheme, f"{scheme.removesuffix('+psycopg')}://{rest}")
        except Exception as error:
            # What it says may hold a part of the address.
            said = f"{expected} and options that its driver knows, got: others ({type(error).__name__}); {REMEDY_QUERY}"
            raise ValueError(said) from None
        return SecretStr(f"postgresql+psycopg://{rest}") if scheme.startswith("postgres") else value

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
                raise ValueError(f"entry {position}: expected client/whsec_…, whole, got something else; {remedy}")
        return value

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
    queues = {name: queue.model_dump() for name, queue in QUEUES.items()}
    known = {_variable("QUEUE", queue, field): (queue, field) for queue in QUEUES for field in Queue.model_fields}
    for name in given.keys() & known:
        queue, field = known[name]
        queues[queue][field] = given[name]
    odd = sorted(name for name in given.keys() - known if name.startswith("QUEUE_"))
    said = "expected QUEUE_<NAME>_<FIELD> with a queue and a field of queues.py"
    faults = [f"{name}: {said}, got: {name}; correct its name (queues: {', '.join(QUEUES)})" for name in odd]
    try:
        settings = Settings.model_validate(given | {"QUEUES": queues})
    except ValidationError as error:
        faults += [_sentence(fault) for fault in error.errors()]
    if (where := given.get("ENVIRONMENT", "production")) in DEPLOYED:
        faults += _deployed(given, where, role)
    if faults:
        raise WrongSettings("\n".join(faults))
    return settings


@functools.cache
def settings(role: str = "") -> Settings:
    """The settings of this process, read from its environment at the first call."""
    return read(os.environ, role)


def _plain(rest: str) -> bool:
    """Whether all who read a URL find its password's end at one place; else they tell of its rest, as host or port."""
    try:
        address = urlsplit(f"//{rest}")
        return rest.count("@") == address.netloc.count("@") <= 1 and address.port != 0
    except ValueError:
        return False


def _open(scheme: str, url: str) -> None:
    """Let the libraries that will connect read an address; they raise whatever they raise."""
    if scheme.startswith("postgres"):
        from psycopg.conninfo import conninfo_to_dict

        conninfo_to_dict(url)
    elif scheme != "sqlite":
        from kombu import Connection
        from redis import ConnectionPool

        Connection(url)
        if scheme.startswith("redis"):
            ConnectionPool.from_url(url).make_connection()


def _deployed(given: Mapping[str, str], where: str, role: str) -> Iterator[str]:
    """What is missing, or known to everybody, or not enough, where the service runs for others."""
    if given.get("DATABASE_URL", "").startswith("sqlite"):
        remedy = "set a postgresql:// URL, or ENVIRONMENT=development"
        yield f"DATABASE_URL: expected PostgreSQL in {where}, got: sqlite; {remedy}"
    for name in ("DATABASE_URL", "BROKER_URL", "REDIS_URL"):
        if f":{DEVELOPMENT_PASSWORD}@" in given.get(name, ""):
            remedy = "give the store another (`openssl rand -hex 16` makes one), or set ENVIRONMENT=development"
            yield f"{name}: expected a password of its own, got: that of compose.yaml; {remedy}"
    names, remedy = SECRETS.get(role, ((), ""))
    if names and not given.keys() & set(names):
        yield f"{names[0]}: {remedy}"


def _variable(*parts: str) -> str:
    return "_".join(parts).upper().replace("-", "_")


def _sentence(fault: Any) -> str:
    missing = f"expected a value, got: nothing; {REMEDY_STORES}"
    said = missing if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
    return f"{_variable(*fault['loc']).replace('QUEUES_', 'QUEUE_')}: {said}"

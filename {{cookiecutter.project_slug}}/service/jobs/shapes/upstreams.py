"""Third parties' limits: so many calls in a time, and so many at once, over all workers and hosts; counted in Redis.

Whoever may not call yet books the time of its turn, one after the other as the rate allows, and waits in its row until
then; it does not look again before. When most of those who booked have ended since, all turns are forgotten, and who
waits looks at its time all the same. A place that comes free is handed to whoever has waited longest for one, and that
job is woken. Without Redis everyone is let through: a limit delays work, and never loses or stops it.
"""

import functools
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from limits import parse
from pydantic import ValidationInfo
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from service import NAME
from service.config import RATE, settings
from service.database import new_id, standalone, transaction
from service.errors import Postpone
from service.jobs import doorbell, query
from service.jobs.model import Job, PausedQueue
from service.queues import HOST_SPARED_CAP

log = structlog.get_logger()

EXAMPLE = '{"payments": {"hosts": ["api.example.com", "*.pay.example.com"], "rate": "5/second", "at_once": 2}}'
WORD, HOST = (
    re.compile(r"[a-z0-9][a-z0-9_-]{0,63}"),
    re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*|[0-9a-f:]*:[0-9a-f:]+"),
)

# Calls at once where no number is given, which is the highest, too.
MANY = 10_000

# Seconds: for an answer of Redis, and between two tries while it is down; for which a wait costs less in the worker
# than in the row; for which a job waits in the worker that called before, since going back would repeat that call; by
# which the ways of two calls to the third party may differ; and of a wait that asks whether those before it will come,
# and for which they are woken one after the other until one comes.
PATIENCE, RETRY_SECONDS, SHORT, AGAIN, WAY, FAR = 0.5, 1.0, 0.25, 10.0, 0.1, 5.0

_called: ContextVar[Any] = ContextVar("called", default=None)
_down_until = 0.0


class Upstream(NamedTuple):
    """One third party: its hosts, so many calls within so many seconds, and so many at once."""

    name: str
    hosts: tuple[str, ...]
    most: int
    period: float
    at_once: int

    def ask(self, what: str, holder: str, seconds: float = 0, again: bool = False) -> str:
        """What the script answers; nothing while Redis is down."""
        global _down_until
        if time.monotonic() < _down_until:
            return ""
        keys = [f"{NAME}:upstream:{self.name}:{key}" for key in ("calls", "booked", "held", "line", "spared")]
        try:
            numbers = (self.most, self.period + WAY, self.at_once, seconds, int(again), SHORT, WAY)
            return str(_script()(keys, (what, holder, *numbers)))
        except (RedisError, ValueError) as error:
            log.warning("limits of third parties not kept, everyone is let through", error=type(error).__name__)
            _down_until = time.monotonic() + RETRY_SECONDS
            return ""


@contextmanager
def turn(host: str, seconds: float) -> Iterator[None]:
    """Call the host in here, for at most so many seconds; for a host without a limit it does nothing.

    A job that has called a third party in this attempt waits up to 10 s here: to go back would repeat that call.

    Raises:
        Postpone: it is not this job's turn; `seconds` is when it will be.
    """
    if (upstream := of(host)) is None:
        yield
        return
    about = structlog.contextvars.get_contextvars()
    attempt = (about.get("job_id"), about.get("attempt"))
    again, holder = attempt in {(None, None), _called.get()}, attempt[0] or new_id()
    until = time.monotonic() + (AGAIN if again else SHORT)
    while wait := float(upstream.ask("enter", holder, seconds + 1, again) or 0):
        if time.monotonic() + wait <= until:
            time.sleep(wait)
        elif wait > FAR and _mostly_ended(upstream.ask("some", holder).split()):
            upstream.ask("clear", holder)
        else:
            raise Postpone(f"limit {upstream.name}", wait)
    _called.set(attempt)
    try:
        yield
    finally:
        until, what = time.monotonic() + FAR, f"limit {upstream.name}"
        while time.monotonic() < until and (holder := upstream.ask("leave", holder)) and not _wake(holder, what):
            pass


def spare(host: str, status: int, seconds: float | None) -> None:
    """Let nobody call the host's upstream for so many seconds, as its 429 or 503 asked; an hour at most."""
    if status in {429, 503} and seconds and (upstream := of(host)):
        upstream.ask("spare", "", min(seconds, HOST_SPARED_CAP))


def of(host: str) -> Upstream | None:
    """The upstream that a host belongs to, however that is spelt."""
    host = host.rstrip(".").lower()
    with suppress(OSError):
        host = socket.inet_ntoa(socket.inet_aton(host))
    declared: Mapping[str, Upstream] = settings().upstreams
    return next((each for each in declared.values() if any(_covers(known, host) for known in each.hosts)), None)


def describe() -> str:
    """What is in force, for the operator."""
    said = (
        f"{each.name} {each.most} in {each.period:g} s, {each.at_once} at once"
        for each in settings().upstreams.values()
    )
    return "; ".join(said) or "none"


def read(given: str, about: ValidationInfo) -> Mapping[str, Upstream]:
    """Make upstreams of what UPSTREAMS says, `about` the other settings that were found right.

    Raises:
        ValueError: naming all that is wrong, a line each.
    """
    declared: Any = None
    with suppress(ValueError):
        declared = json.loads(given)
    if not isinstance(declared, dict) or not declared:
        raise ValueError(f"expected JSON as {EXAMPLE}, got something else; correct it")
    faults = [f"{name!r:.70}: {fault}" for name, each in declared.items() for fault in _faults(name, each)]
    if not faults:
        known = [(name, host) for name, each in declared.items() for host in each["hosts"]]
        faults = [
            f"expected one upstream for a host, got: {one} and {other} for {host}; leave it to one"
            for number, (one, host) in enumerate(known)
            for other, wide in known[:number] + known[number + 1 :]
            if one != other and _covers(wide, host) and (wide != host or one < other)
        ]
    stores = [about.data[name].get_secret_value() for name in ("broker_url", "redis_url") if name in about.data]
    if len(stores) == 2 and not any(store.startswith("redis") for store in stores):
        faults.append("expected a Redis to count in, got: none, as the broker is RabbitMQ; set REDIS_URL")
    if faults:
        raise ValueError("\nUPSTREAMS: ".join(faults))
    rates = {name: parse(each["rate"].strip()) for name, each in declared.items()}
    return {
        name: Upstream(
            name, tuple(each["hosts"]), rates[name].amount, rates[name].get_expiry(), each.get("at_once", MANY)
        )
        for name, each in declared.items()
    }


def _faults(name: str, each: Any) -> Iterator[str]:
    if not WORD.fullmatch(name):
        yield "expected a name of a-z, 0-9, _ and -, got another; rename it"
    if not isinstance(each, dict) or not {"hosts", "rate"} <= each.keys() <= {"hosts", "rate", "at_once"}:
        yield f"expected hosts, a rate, and at_once if any, got something else; write it as {EXAMPLE}"
        return
    hosts, rate, at_once = each["hosts"], each["rate"], each.get("at_once", MANY)
    if not isinstance(hosts, list) or not hosts:
        yield "expected a list of hosts, got none; name those that the limit is for"
    for host in hosts if isinstance(hosts, list) else ():
        if not isinstance(host, str) or not HOST.fullmatch(host):
            yield f"expected a host as api.example.com or *.example.com, got: {host!r:.70}; no scheme, port or path"
    if not isinstance(rate, str) or not RATE.fullmatch(rate.strip()):
        yield f"expected a rate as 5/second or 100/15 minutes, got: {rate!r:.70}; 1 at least"
    if type(at_once) is not int or not 1 <= at_once <= MANY:
        yield f"expected at_once to be a number from 1 to {MANY}, got: {at_once!r:.70}; correct it"


def _covers(pattern: str, host: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))


@functools.cache
def _script() -> Any:
    waits: Any = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE, "retry": Retry(NoBackoff(), 0)}
    redis = Redis.from_url(settings().redis, decode_responses=True, **waits)
    return redis.register_script(Path(__file__).with_suffix(".lua").read_text())


def _wake(job_id: str, waiting_for: str) -> bool:
    """Let the job look now; gives whether it waits and may."""
    which = (Job.id == job_id, Job.waiting_for == waiting_for, Job.queue.not_in(select(PausedQueue.name)))
    with suppress(DBAPIError), transaction() as session:
        return doorbell.ring_first(session, *which)
    return True


def _mostly_ended(ids: list[str]) -> bool:
    """Whether most of these jobs have ended, or are none: nobody will come for their turns."""
    with suppress(DBAPIError), standalone() as session:
        return 2 * query.count(session, Job.id.in_(ids), Job.ended_at.is_(None)) < len(ids)
    return False

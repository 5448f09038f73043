"""How it goes with each third party, kept for all workers together: one that fails over and over is spared.

Whoever may not call yet waits in its row and holds no worker, so that a host that hangs takes no more than a few of
them. A host in trouble is tried by one call at a time. The one that ends wakes the one that has waited longest; the
time that each books, one second after another, is for the case that nobody wakes it, so that however many wait, they
look again about once a second together.
"""

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Integer, Row, Text, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from service.database import Base, Timestamp, in_turn, now, standalone
from service.errors import AddressRefused, Postpone, UpstreamError, UpstreamRefused
from service.jobs.doorbell import ring_first
from service.jobs.model import Job
from service.jobs.submit import INTERNAL
from service.outbound.guard import parse
from service.queues import HOST_FAILURES, HOST_SPARED_CAP, HOST_SPARED_SECONDS

# Times that a call may take; after as long, one whose worker died holds its host no longer.
HOLD = 3

# Seconds between two that look again by themselves.
BOOKED_SECONDS = 1.0

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Host(Base):
    """One host: who has it for itself, how it has failed of late, and how far those that wait have booked."""

    __tablename__ = "outbound_hosts"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    holder: Mapped[str] = mapped_column(Text, default="")
    held_until: Mapped[datetime] = mapped_column(Timestamp, default=LONG_AGO)
    # Failures since it last answered, and when it may be called again.
    failures: Mapped[int] = mapped_column(Integer, default=0)
    open_at: Mapped[datetime] = mapped_column(Timestamp, default=LONG_AGO)
    booked_until: Mapped[datetime] = mapped_column(Timestamp, default=LONG_AGO)


@contextmanager
def turn(url: str, holder: str, seconds: float, *, alone: bool = False) -> Iterator[str]:
    """Call the URL's host in here, for at most so many seconds; gives its name.

    Each client has its own: whoever calls what is down, or hangs, holds up nobody else's calls to that host.

    An UpstreamError in here says that the host is in trouble; one with a `retry_after`, that it is to be spared.
    With `alone` there is one call at a time; without, only while the host is in trouble.

    Raises:
        Postpone: another has the host, or it is spared.
        UpstreamRefused: no host can be called by this URL.
    """
    name = _name(url)
    waiting_for = f"host {name}" if alone else f"host {name} to recover"
    with standalone() as session:
        host, present = session.execute(select(Host, now()).where(Host.name == name)).first() or (None, LONG_AGO)
    awaited = host is not None and host.booked_until > present
    held = alone or (host is not None and (host.failures > 0 or host.open_at > present))
    if held:
        _take(name, holder, HOLD * seconds, waiting_for)
    failed, spare = None, None
    try:
        yield name.rpartition(":")[0]
        failed = False
    except UpstreamRefused:
        failed = False
        raise
    except UpstreamError as error:
        failed, spare = True, error.retry_after
        raise
    finally:
        # What the call came to stands, whether it is written down or not.
        with suppress(Postpone):
            over = not (held or failed) or _end(name, holder if held else None, failed, spare)
            if (held or awaited) and over:
                with _books(name) as session:
                    if not ring_first(session, Job.waiting_for == waiting_for):
                        host, present = _locked(session, name)
                        host.booked_until = present


def _name(url: str) -> str:
    try:
        parsed = parse(url)
    except AddressRefused as error:
        raise UpstreamRefused(error.detail) from error
    host = parsed.raw_host.decode("ascii").rstrip(".").lower()
    with suppress(OSError):
        # An address has many spellings, and is one host.
        host = socket.inet_ntoa(socket.inet_aton(host))
    return f"{host}:{parsed.port or parsed.scheme} of {structlog.contextvars.get_contextvars().get('client', INTERNAL)}"


def forget_idle() -> None:
    """Drop hosts that nobody has had for a day."""
    with standalone() as session:
        session.execute(delete(Host).where(Host.held_until < now(-86_400), Host.open_at < now(-86_400)))


def _take(name: str, holder: str, seconds: float, waiting_for: str) -> None:
    with _books(name) as session:
        host, present = _locked(session, name)
        if host.open_at <= present and (host.held_until <= present or host.holder == holder):
            host.holder, host.held_until = holder, present + timedelta(seconds=seconds)
            return
        host.booked_until = max(host.booked_until, host.open_at, present) + timedelta(seconds=BOOKED_SECONDS)
        wait = (host.booked_until - present).total_seconds()
    raise Postpone(waiting_for, wait)


def _end(name: str, holder: str | None, failed: bool | None, spare: float | None) -> bool:
    """Note how a call went; gives whether another may follow it now."""
    with _books(name) as session:
        host, present = _locked(session, name)
        # Another has it by now, since this one took so long; or enough have been counted of those that failed together.
        if (host.open_at > present) if holder is None else (host.holder != holder):
            return False
        if holder is not None:
            host.holder, host.held_until = "", present
        if failed is not None:
            host.failures = host.failures + 1 if failed else 0
        if failed and host.failures >= HOST_FAILURES:
            doubled = HOST_SPARED_SECONDS * 2.0 ** min(host.failures - HOST_FAILURES, 30)
            spare = max(spare or 0.0, min(doubled, HOST_SPARED_CAP))
        host.open_at = present + timedelta(seconds=min(spare or 0.0, HOST_SPARED_CAP))
        return host.open_at <= present


def _books(name: str) -> AbstractContextManager[Session]:
    # Each client's are its own: one that calls hundreds of hosts that fail is in nobody else's way.
    return in_turn(f"hosts of {name.rpartition(' of ')[2]}", "the books of hosts")


def _locked(session: Session, name: str) -> Row[Host, datetime]:
    query = select(Host, now()).where(Host.name == name).with_for_update()
    while (found := session.execute(query).first()) is None:
        # Another may meet this host for the first time in the same moment.
        with suppress(IntegrityError), session.begin_nested():
            session.add(Host(name=name))
    return found

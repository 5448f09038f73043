"""Hosts take turns: one delivery at a time over all workers, and none while a host that failed is spared.

Whoever may not call yet waits in its row and holds no worker. The one that ends wakes the one that has waited longest;
the time that each books, one second after another, is for the case that nobody wakes it, so that however many wait,
they look again about once a second together.
"""

from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import Row, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.database import now, standalone, transaction
from service.errors import Postpone
from service.jobs.attempts import wake
from service.queues import HOST_FAILURES, HOST_SPARED_CAP, HOST_SPARED_SECONDS, WEBHOOK_SECONDS
from service.webhooks.model import Host

# Seconds after which a delivery whose worker died holds its host no longer.
HOLD_SECONDS = 3 * WEBHOOK_SECONDS

# Seconds between two that look again by themselves.
BOOKED_SECONDS = 1.0


def take(name: str, holder: str) -> None:
    """Hold the host for one call.

    Raises:
        Postpone: another holds it, or it is spared.
    """
    with transaction() as session:
        host, present = _locked(session, name)
        if host.open_at <= present and (host.held_until <= present or host.holder == holder):
            host.holder, host.held_until = holder, present + timedelta(seconds=HOLD_SECONDS)
            return
        host.booked_until = max(host.booked_until, host.open_at, present) + timedelta(seconds=BOOKED_SECONDS)
        seconds = (host.booked_until - present).total_seconds()
    raise Postpone(_waiting_for(name), seconds)


def release(name: str, holder: str, *, failed: bool, spare: float | None = None) -> None:
    """Let the next one have the host; one that failed several times in a row is spared, as is one that asks for it."""
    with transaction() as session:
        host, present = _locked(session, name)
        if host.holder != holder:
            # This one took so long that another has it by now.
            return
        host.holder, host.held_until = "", present
        host.failures = host.failures + 1 if failed else 0
        if host.failures >= HOST_FAILURES:
            doubled = HOST_SPARED_SECONDS * 2.0 ** min(host.failures - HOST_FAILURES, 30)
            spare = max(spare or 0.0, min(doubled, HOST_SPARED_CAP))
        host.open_at = present + timedelta(seconds=min(spare or 0.0, HOST_SPARED_CAP))
        spared = host.open_at > present
    if not spared and not wake(_waiting_for(name)):
        with transaction() as session:
            host, present = _locked(session, name)
            host.booked_until = present


def forget_idle() -> None:
    """Drop hosts that nobody has called for a day."""
    with standalone() as session:
        session.execute(delete(Host).where(Host.held_until < now(-86_400)))


def _waiting_for(name: str) -> str:
    return f"host {name}"


def _locked(session: Session, name: str) -> Row[Host, datetime]:
    query = select(Host, now()).where(Host.name == name).with_for_update()
    found = session.execute(query).first()
    if found is None:
        # Another may meet this host for the first time in the same moment.
        with suppress(IntegrityError), session.begin_nested():
            session.add(Host(name=name))
        found = session.execute(query).one()
    return found

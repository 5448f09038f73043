"""What is told of a transaction once it is committed, and of none that was rolled back."""

from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

# Where a session keeps what is to be told of it.
WAITING = "told once committed"


def then(session: Session, tell: Callable[[], object]) -> None:
    """Call this as soon as the transaction is committed; a savepoint that is rolled back takes its own with it."""
    inner = session.get_nested_transaction() or session.get_transaction()
    session.info.setdefault(WAITING, []).append((inner, tell))


@event.listens_for(Session, "after_commit")
def _committed(session: Session) -> None:
    # SQLAlchemy says it of a savepoint, too.
    if WAITING in session.info and not session.in_nested_transaction():
        for _, tell in session.info.pop(WAITING):
            tell()


@event.listens_for(Session, "after_soft_rollback")
def _rolled_back(session: Session, previous: SessionTransaction) -> None:
    if WAITING in session.info:
        session.info[WAITING] = [each for each in session.info[WAITING] if not _within(each[0], previous)]


@event.listens_for(Session, "after_transaction_end")
def _ended(session: Session, transaction: SessionTransaction) -> None:
    # A session that was closed was not asked for either; it may begin again.
    if transaction.parent is None:
        session.info.pop(WAITING, None)


def _within(inner: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is outer

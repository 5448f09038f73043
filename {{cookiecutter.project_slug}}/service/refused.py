"""What came over the broker and was no job: kept for a while, since somebody must have sent it."""

from datetime import datetime

from sqlalchemy import Text, Uuid, delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base, Timestamp, new_id, now, transaction

# Characters that are kept of each part of a message, enough to look at, and how many messages.
MAX_KEPT, MAX_REFUSED = 10_000, 10_000


class RefusedMessage(Base):
    """One message, and why it was refused."""

    __tablename__ = "refused_messages"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    at: Mapped[datetime] = mapped_column(Timestamp, default=now())
    reason: Mapped[str] = mapped_column(Text)
    headers: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)


def keep(reason: str, headers: str, body: str) -> None:
    """Keep a message, unless as many are kept already."""
    with transaction() as session:
        if (session.scalar(select(func.count()).select_from(RefusedMessage)) or 0) < MAX_REFUSED:
            session.add(RefusedMessage(reason=reason, headers=headers, body=body))


def forget(older_than_days: float) -> None:
    """Drop those that came more than this many days ago."""
    with transaction() as session:
        session.execute(delete(RefusedMessage).where(RefusedMessage.at < now(-86_400 * older_than_days)))

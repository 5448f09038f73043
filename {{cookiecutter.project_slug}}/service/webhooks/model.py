"""What webhooks keep: the messages, and how it goes with each host."""

from datetime import UTC, datetime

from sqlalchemy import ForeignKey, Integer, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base, Timestamp, now
from service.jobs.model import new_id

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Message(Base):
    """A job as it was at one of its ends, which a later retry does not change; it goes when the job is purged."""

    __tablename__ = "webhook_messages"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Timestamp, default=now())


class Host(Base):
    """One host: who delivers to it now, how it has failed of late, and how far those that wait have booked."""

    __tablename__ = "webhook_hosts"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    holder: Mapped[str] = mapped_column(Text, default="")
    held_until: Mapped[datetime] = mapped_column(Timestamp, default=LONG_AGO)
    # Failures since it last answered, and when it may be called again.
    failures: Mapped[int] = mapped_column(Integer, default=0)
    open_at: Mapped[datetime] = mapped_column(Timestamp, default=LONG_AGO)
    booked_until: Mapped[datetime] = mapped_column(Timestamp, default=LONG_AGO)

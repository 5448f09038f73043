"""What webhooks keep: the messages."""

from datetime import datetime

from sqlalchemy import ForeignKey, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base, Timestamp, new_id, now


class Message(Base):
    """A job as it was at one of its ends, which a later retry does not change; it goes when the job is purged."""

    __tablename__ = "webhook_messages"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Timestamp, default=now())

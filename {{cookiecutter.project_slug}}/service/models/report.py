"""Finished reports."""

from datetime import datetime

from sqlalchemy import ForeignKey, Integer, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base, Timestamp, now


class Report(Base):
    """One report, written in the transaction of the job that made it; it goes when the job is purged."""

    __tablename__ = "reports"

    job_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    title: Mapped[str] = mapped_column(Text)
    rows: Mapped[int] = mapped_column(Integer)
    csv: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Timestamp, default=now())

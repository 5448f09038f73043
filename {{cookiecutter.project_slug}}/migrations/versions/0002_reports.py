"""Finished reports."""

import sqlalchemy as sa
from alembic import op

from service.database import Timestamp

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of `service/models/report.py`."""
    op.create_table(
        "reports",
        sa.Column("job_id", sa.Uuid(as_uuid=False), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("csv", sa.Text, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
    )

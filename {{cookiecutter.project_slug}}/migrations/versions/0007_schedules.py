"""Schedules: when each is due next, whether it is paused, and what it missed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of `service/jobs/shapes/schedules.py`."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("last_at", moment),
        sa.Column("last_job_id", sa.Uuid(as_uuid=False)),
        sa.Column("missed", sa.Integer, nullable=False),
        sa.Column("missed_at", moment),
        sa.Column("paused_at", moment),
        sa.Column("paused_by", sa.Text),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )

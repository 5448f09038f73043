"""Webhooks, the hosts that are called, and what the queues are asked most."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from service.database import Timestamp

# The indexes are partial: each is written while one look at the table takes, which retention keeps short.
# squawk-ignore: require-concurrent-index-creation

revision = "0003"
# The examples may be gone; a team's own migrations join this one by `alembic merge heads`.
down_revision = "0002" if Path(__file__).with_name("0002_reports.py").exists() else "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of `service/webhooks/model.py` and `service/outbound/hosts.py`, and to that of jobs."""
    op.add_column("jobs", sa.Column("callback_url", sa.Text))
    _partial_index("ix_jobs_waiting_client", ["client"], "state IN ('queued', 'retrying')")
    _partial_index("ix_jobs_waiting_for", ["waiting_for", "id"], "waiting_for IS NOT NULL")
    _partial_index("ix_jobs_dead_letters", ["queue"], "state = 'failed'")
    op.create_table(
        "webhook_messages",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("job_id", sa.Uuid(as_uuid=False), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
    )
    op.create_index("ix_webhook_messages_job_id", "webhook_messages", ["job_id"])
    op.create_table(
        "outbound_hosts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("held_until", Timestamp, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("open_at", Timestamp, nullable=False),
        sa.Column("booked_until", Timestamp, nullable=False),
    )


def _partial_index(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "jobs", columns, postgresql_where=condition, sqlite_where=condition)

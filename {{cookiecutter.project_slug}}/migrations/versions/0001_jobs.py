"""The job store."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from service.database import Timestamp

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of `service/jobs/model.py`."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("kwargs", sa.JSON, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("context", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("waiting_for", sa.Text),
        sa.Column("run_at", Timestamp, nullable=False),
        sa.Column("expires_at", Timestamp),
        sa.Column("rung_at", Timestamp),
        sa.Column("cancel_requested_at", Timestamp),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("pid", sa.Integer),
        sa.Column("deadline", Timestamp),
        sa.Column("progress_done", sa.BigInteger),
        sa.Column("progress_total", sa.BigInteger),
        sa.Column("progress_message", sa.Text),
        sa.Column("result", sa.JSON),
        sa.Column("error_type", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("traceback", sa.Text),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("started_at", Timestamp),
        sa.Column("ended_at", Timestamp),
    )
    waiting = "state IN ('queued', 'retrying')"
    _partial_index("ix_jobs_waiting", ["queue", "run_at"], waiting)
    _partial_index("ix_jobs_rung", ["rung_at", "run_at"], waiting)
    _partial_index("ix_jobs_expiring", ["expires_at"], waiting)
    _partial_index("ix_jobs_running", ["worker", "deadline"], "state = 'running'")
    _partial_index("ix_jobs_failed", ["id"], "state = 'failed'")
    _partial_index("ix_jobs_ended", ["ended_at"], "ended_at IS NOT NULL")
    _partial_index("uq_jobs_idempotency", ["client", "idempotency_key"], "idempotency_key IS NOT NULL", unique=True)
    op.create_index("ix_jobs_client", "jobs", ["client", "id"])
    op.create_table(
        "job_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.Uuid(as_uuid=False), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("message", sa.Text),
        sa.Column("by", sa.Text),
    )
    op.create_index("ix_job_events_job_id", "job_events", ["job_id"])
    op.create_table(
        "tasks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("schema", sa.JSON, nullable=False),
        sa.Column("soft_limit", sa.Double, nullable=False),
        sa.Column("hard_limit", sa.Double, nullable=False),
        sa.Column("max_retries", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("announced_at", Timestamp, nullable=False),
    )
    op.create_table(
        "paused_queues",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("paused_at", Timestamp, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_table(
        "processes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("queue", sa.Text),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", Timestamp, nullable=False),
        sa.Column("seen_at", Timestamp, nullable=False),
    )
    op.create_table(
        "refused_messages",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("at", Timestamp, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    leases = op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", Timestamp, nullable=False),
    )
    # Leases are taken by updating them, so they are there from the start, held by nobody since long ago.
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    op.bulk_insert(leases, [{"name": name, "holder": "", "expires_at": long_ago} for name in ("reconciler", "beat")])


def _partial_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "jobs", columns, unique=unique, postgresql_where=condition, sqlite_where=condition)

"""Batches: which one a job belongs to."""

import sqlalchemy as sa
from alembic import op

# The indexes are partial: each is written while one look at the table takes, which retention keeps short.
# squawk-ignore: require-concurrent-index-creation

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add to the table of jobs what `service/jobs/shapes/batches.py` asks for."""
    op.add_column("jobs", sa.Column("batch_id", sa.Uuid(as_uuid=False)))
    _partial_index("ix_jobs_batch", "batch_id IS NOT NULL")
    _partial_index("ix_jobs_batch_open", "batch_id IS NOT NULL AND ended_at IS NULL")


def _partial_index(name: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "jobs", ["batch_id", "id"], postgresql_where=condition, sqlite_where=condition)

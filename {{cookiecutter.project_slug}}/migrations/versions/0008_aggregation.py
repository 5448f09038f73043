"""Aggregation: which job carries another, and the index of what may be carried."""

import sqlalchemy as sa
from alembic import op

# The index is partial: it is written while one look at the table takes, which retention keeps short.
# squawk-ignore: require-concurrent-index-creation

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add to the table of jobs what `service/jobs/shapes/aggregation.py` asks for."""
    op.add_column("jobs", sa.Column("carried_by", sa.Uuid(as_uuid=False)))
    waits = sa.text("state IN ('queued', 'retrying') AND lock_key IS NULL")
    op.create_index("ix_jobs_company", "jobs", ["task", "run_at"], postgresql_where=waits, sqlite_where=waits)

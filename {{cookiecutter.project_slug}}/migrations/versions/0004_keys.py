"""Unique keys and locks of jobs."""

import sqlalchemy as sa
from alembic import op

# The indexes are partial, and empty at first: each is written while one look at the table takes.
# squawk-ignore: require-concurrent-index-creation

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add to the table of jobs."""
    op.add_column("jobs", sa.Column("unique_key", sa.Text))
    op.add_column("jobs", sa.Column("lock_key", sa.Text))
    unended = "ended_at IS NULL AND unique_key IS NOT NULL"
    _partial_index("uq_jobs_unique", ["client", "unique_key"], unended, unique=True)
    _partial_index("uq_jobs_lock", ["lock_key"], "state = 'running' AND lock_key IS NOT NULL", unique=True)
    waiting = "state IN ('queued', 'retrying') AND lock_key IS NOT NULL"
    _partial_index("ix_jobs_lock", ["lock_key", "id"], waiting)


def _partial_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "jobs", columns, unique=unique, postgresql_where=condition, sqlite_where=condition)

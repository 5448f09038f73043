"""Pipelines: the steps of the one that a job belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add to the table of jobs what `service/jobs/shapes/pipelines.py` asks for."""
    op.add_column("jobs", sa.Column("steps", sa.JSON()))

"""What the tests' tasks do in their job's transaction: a row in a table that no service has.

It has no key that would refuse a second one, so a test can count.
"""

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Uuid

from service.jobs import Job

METADATA = MetaData()

EFFECTS = Table(
    "effects",
    METADATA,
    Column("id", Integer, primary_key=True),
    # As in a service's own tables: on PostgreSQL an open transaction that refers to the job holds its row, too.
    Column("job_id", Uuid(as_uuid=False), ForeignKey(Job.id, ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
)

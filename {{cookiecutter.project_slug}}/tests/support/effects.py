"""What the tests' tasks do in their job's transaction: a row in a table that no service has.

It has no key that would refuse a second one, so a test can count.
"""

from sqlalchemy import Column, Integer, MetaData, Table, Text

METADATA = MetaData()

EFFECTS = Table(
    "effects",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
)

"""A table of effects that could count to two: it has no key that would refuse the second."""

from sqlalchemy import Column, Integer, MetaData, Table, Text

METADATA = MetaData()

EFFECTS = Table(
    "soak_effects",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
)

# Which job submitted which: the second step's effect names the first.
STEPS = Table(
    "soak_steps",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("after", Text, nullable=False),
)

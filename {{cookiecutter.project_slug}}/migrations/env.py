"""Alembic's environment: migrations run on the service's own engine."""

from alembic import context

from service.database import Base, engine
from service.jobs import model
from service.models import report

TABLES = (model, report)


def run() -> None:
    """Run what was asked for in one transaction, holding a lock so that two deploys cannot both migrate."""
    with engine().connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_lock(72017)")
        context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()

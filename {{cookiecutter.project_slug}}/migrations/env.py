"""Alembic's environment: migrations run on the service's own engine."""

import importlib
import pkgutil

from alembic import context

import service.jobs.shapes
import service.models
from service import refused
from service.database import Base, engine
from service.jobs import model
from service.outbound import hosts
from service.webhooks import model as webhooks

for package in (service.models, service.jobs.shapes):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

# Whoever is imported here is compared with the database by `alembic revision --autogenerate`.
TABLES = (model, refused, hosts, webhooks, service.models)


def known(name: str | None, type_: str, _: object) -> bool:
    """Whether a table is compared: one that no model declares is left alone, as that of a shape that was deleted."""
    return type_ != "table" or name in Base.metadata.tables


def write() -> None:
    """Write the statements instead of running them, for `alembic upgrade FROM:TO --sql` and those who judge them."""
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    """Run what was asked for in one transaction, holding a lock so that two deploys cannot both migrate."""
    with engine().connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_lock(72017)")
        options = {"target_metadata": Base.metadata, "compare_type": True, "include_name": known}
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


write() if context.is_offline_mode() else run()

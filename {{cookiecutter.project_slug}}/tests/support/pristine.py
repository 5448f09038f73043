"""A database as `migrate` leaves it: made once in a run of the tests, and copied for each test after that."""

import functools
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, Table, create_engine

from tests.support.effects import METADATA

ROOT = Path(__file__).parents[2]

# What each PostgreSQL database held when it was pristine.
_held: dict[str, dict[Table, list[dict[str, Any]]]] = {}


def make(environment: Mapping[str, str]) -> None:
    """Make the database of `environment` pristine, with the tests' own tables; on PostgreSQL all else in it goes."""
    url = environment["DATABASE_URL"]
    if url.startswith("sqlite"):
        path = url.partition("///")[2]
        with closing(sqlite3.connect(_file(environment))) as made, closing(sqlite3.connect(path)) as own:
            made.backup(own)
        return
    engine = _engine(url)
    if url in _held:
        _restore(engine, _held[url])
    else:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        _migrate(environment)
        _held[url] = _read(engine)
    engine.dispose()


def _file(environment: Mapping[str, str]) -> Path:
    path = Path(_folder().name) / "service.db"
    if not path.exists():
        _migrate({**environment, "DATABASE_URL": f"sqlite:///{path}"})
    return path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when this process ends."""
    return tempfile.TemporaryDirectory(prefix="pristine-")


def _migrate(environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "tests.support", "migrate"]
    subprocess.run(command, cwd=ROOT, env=dict(environment), check=True, capture_output=True)
    engine = _engine(environment["DATABASE_URL"])
    METADATA.create_all(engine)
    engine.dispose()


def _read(engine: Engine) -> dict[Table, list[dict[str, Any]]]:
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = {table: connection.execute(table.select()).mappings().all() for table in tables.sorted_tables}
    return {table: [dict(row) for row in held] for table, held in rows.items()}


def _restore(engine: Engine, held: Mapping[Table, list[dict[str, Any]]]) -> None:
    names = ", ".join(engine.dialect.identifier_preparer.format_table(table) for table in held)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        for table, rows in held.items():
            if rows:
                connection.execute(table.insert(), rows)


def _engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

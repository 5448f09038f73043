"""The database: one engine for each process, the store's own clock, the base of all tables, and ids for their rows."""

import functools
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pkgutil import resolve_name
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, DateTime, Engine, Float, MetaData, create_engine, event, exc, literal, select
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator

from service.config import settings
from service.errors import Postpone
from service.queues import of_greenlets

# Seconds: to connect, to wait for a free connection, for one statement, for SQLite's one writer, and how long a
# connection may rest before it is asked whether it still is one.
CONNECT_TIMEOUT = 2
POOL_TIMEOUT = 2
STATEMENT_TIMEOUT = 10
SQLITE_BUSY_TIMEOUT = 5
PING_AFTER = 15.0

# The store is away, or has no connection to spare; another try may find it.
AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)

# Seconds to the farthest moment that is counted from the present, a hundred years: Python reads no year after 9999.
FARTHEST = 100 * 366 * 86_400.0

# Connections that a process keeps open: one beyond them would be made for a request, and closed after it.
CONNECTIONS = 10

# Seconds that one waits for its turn at a row of which many want theirs, and between two that come back for it.
TURN_SECONDS, APART = 1.0, 0.1
_turns = defaultdict[str, threading.Lock](threading.Lock)
_back_at = defaultdict[str, float](float)

# What each database is connected to with.
SQLITE: dict[str, Any] = {"connect_args": {"timeout": SQLITE_BUSY_TIMEOUT}}
_libpq: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT, "tcp_user_timeout": STATEMENT_TIMEOUT * 1000}
_libpq["options"] = f"-c statement_timeout={STATEMENT_TIMEOUT}s -c timezone=UTC"
POSTGRESQL: dict[str, Any] = {"pool_size": CONNECTIONS, "max_overflow": 5, "connect_args": _libpq}

# How hundreds of greenlets share them. Named and not imported, since it lies above this layer.
SHARED = "service.jobs.shapes.sharing:make"

# SQLite and libpq keep locks of their own: a fork in the middle of a call leaves them locked in the child for ever.
# A thread that uses the database in a process that forks holds this gate meanwhile, and the fork waits.
fork_gate = threading.RLock()
os.register_at_fork(before=fork_gate.acquire, after_in_parent=fork_gate.release, after_in_child=fork_gate.release)

# What indexes and constraints are called.
NAMES = {kind: f"{kind}_%(table_name)s_%(column_0_N_name)s" for kind in ("ix", "uq", "fk")}
NAMES["pk"] = "pk_%(table_name)s"


class Base(DeclarativeBase):
    """The base of every table of this service."""

    metadata = MetaData(naming_convention=NAMES)


class Timestamp(TypeDecorator[datetime]):
    """A moment in UTC, aware of it on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with its zone, got: {value.isoformat()}; use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class now(GenericFunction[datetime]):
    """The store's clock, `seconds` from the present; a worker's clock decides nothing."""

    type = Timestamp()
    inherit_cache = True
    name = "store_now"

    def __init__(self, seconds: Any = 0.0) -> None:
        if not hasattr(seconds, "compile"):
            # In this order, since what is no number is less than none.
            seconds = literal(max(-FARTHEST, min(FARTHEST, float(seconds))), Float())
        super().__init__(seconds)


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(statement_timestamp() + make_interval(secs => CAST({seconds} AS double precision)))"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    # The format is the one that SQLAlchemy writes, so that times compare as text; `||` wants the sign and the unit.
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds') || '000')"


@functools.cache
def engine() -> Engine:
    """The engine of this process, made at the first call; it connects when it is first used."""
    url = settings().database_url.get_secret_value()
    options, prepare = (SQLITE, _sqlite) if url.startswith("sqlite") else (POSTGRESQL, _postgresql)
    make = resolve_name(SHARED) if of_greenlets() else create_engine
    # Arguments of jobs do not belong in the text of an error.
    made: Engine = make(url, pool_timeout=POOL_TIMEOUT, hide_parameters=True, **options)
    prepare(made)
    # A forked child must not speak on its parent's sockets: it drops them unclosed and makes its own.
    os.register_at_fork(after_in_child=lambda: made.dispose(close=False))
    return made


def _postgresql(made: Engine) -> None:
    @event.listens_for(made, "checkin")
    def note(_: object, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(made, "checkout")
    def ping(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        # Asking each time would double the queries of an idle service; a connection that rested may have been cut.
        if time.monotonic() - record.info.get("idle_since", time.monotonic()) > PING_AFTER:
            try:
                made.dialect.do_ping(connection)
            except made.dialect.loaded_dbapi.Error as error:
                raise exc.DisconnectionError from error


def _sqlite(made: Engine) -> None:
    @event.listens_for(made, "connect")
    def configure(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        # Taking the one writer's lock at once makes it wait its turn; taking it later would fail instead.
        if not connection.get_execution_options().get("standalone"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def transaction(*, single: bool = False) -> AbstractContextManager[Session]:
    """A session that commits at the end, or rolls everything back if the block raises.

    A `single` statement commits by itself on PostgreSQL, which is not told first that a transaction begins; on SQLite,
    where a statement costs no way to a server, it may be several.
    """
    return _sessions(engine(), single and engine().dialect.name != "sqlite").begin()


@contextmanager
def in_turn(name: str, waiting_for: str) -> Iterator[Session]:
    """A transaction, of a process one at a time by this name: each that waits for a row holds a connection meanwhile.

    Raises:
        Postpone: others are before for a second; those of one name come back one by one.
    """
    if not _turns[name].acquire(timeout=TURN_SECONDS):
        _back_at[name] = max(_back_at[name], time.monotonic()) + APART
        raise Postpone(waiting_for, _back_at[name] - time.monotonic())
    try:
        with transaction() as session:
            yield session
    finally:
        _turns[name].release()


def standalone() -> Session:
    """A session in which every statement commits by itself: for reads, and for writes of one statement."""
    return _sessions(engine(), True)()


@functools.cache
def _sessions(made: Engine, apart: bool) -> sessionmaker[Session]:
    # SQLite is in this mode already, as long as nothing begins a transaction.
    mode = {} if made.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    return sessionmaker(made.execution_options(standalone=True, **mode) if apart else made, expire_on_commit=False)


def present() -> datetime:
    """What the store's clock shows."""
    with standalone() as session:
        return session.scalars(select(now())).one()


def fault(error: Exception) -> str:
    """What is wrong with the database, and the command that mends it."""
    said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
    if "no such table" in said or "does not exist" in said:
        return f"expected a migrated database, got: {said}; run `python -m service migrate`"
    return f"expected a database at DATABASE_URL, got: {said}; start it, or correct DATABASE_URL"


def new_id() -> str:
    """A UUID of version 7 (RFC 9562, 6.2, method 3): ids sort by the time they were made, to a 4096th of a millisecond.

    The randomness comes from the kernel, which no fork can repeat.
    """
    milliseconds, rest = divmod(time.time_ns() * 4096 // 1_000_000, 4096)
    # The variant is that of version 4, which Python knows; 3.13 makes none beyond 5.
    text = str(UUID(int=milliseconds << 80 | rest << 64 | int.from_bytes(os.urandom(8)), version=4))
    return f"{text[:14]}7{text[15:]}"

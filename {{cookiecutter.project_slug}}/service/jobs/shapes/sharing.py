"""How the greenlets of one process share a database: hundreds of them, and a few connections."""

import sqlite3
import threading
import time
from typing import Any

from gevent import sleep
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from service.database import SQLITE_BUSY_TIMEOUT

# Seconds that a greenlet waits for a connection, which others hold as long as their transactions take.
PATIENCE = 30.0


class Connections(QueuePool):
    """Greenlets wait for one another; the keeper, whose heartbeat must not wait for theirs, has connections apart."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"timeout": PATIENCE})
        self._apart: QueuePool | None = None

    def _do_get(self) -> ConnectionPoolEntry:
        if threading.current_thread().name != "keeper":
            return super()._do_get()
        self._apart = self._apart or QueuePool(
            self._creator, pool_size=1, _dispatch=self.dispatch, dialect=self._dialect, timeout=PATIENCE
        )
        return self._apart._do_get()


def make(url: str, **options: Any) -> Engine:
    """The engine of such a process, whose statements wait their turn one by one.

    SQLite itself waits for its one writer in C, and with it every greenlet, the writer among them.
    """
    made = create_engine(url, poolclass=Connections, **options)
    if made.dialect.name == "sqlite":
        event.listen(made, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout=0"))
        event.listen(made, "do_execute", _in_turn)
    return made


def _in_turn(cursor: Any, statement: str, parameters: Any, _: object) -> bool:
    end = time.monotonic() + SQLITE_BUSY_TIMEOUT
    while True:
        try:
            cursor.execute(statement, parameters)
            return True
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        sleep(0.01)

"""The service on procrastinate."""

import os

from procrastinate import App, PsycopgConnector

from benchmarks.peers import web as http
from benchmarks.peers import work

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))


@app.task(name="export")
def export(title: str, rows: int) -> None:
    """Stand for the example's report."""


@app.task(name="nothing")
def nothing() -> None:
    """Do nothing."""


@app.task(name="sleep")
def sleep(seconds: float, marks: str) -> None:
    """Wait."""
    work.sleep(seconds, marks)


def accept(title: str, rows: int) -> str:
    """Order a report, on connections that are opened with the first."""
    if not opened:
        opened.append(app.open())
    return str(export.defer(title=title, rows=rows))


opened: list[App] = []
web = http.flask(accept)


def fill(count: int) -> None:
    """So many jobs that do nothing."""
    with app.open():
        for first in range(0, count, 1000):
            nothing.batch_defer(*({} for _ in range(min(1000, count - first))))


def order(seconds: float, marks: str) -> None:
    """One job that waits."""
    with app.open():
        sleep.defer(seconds=seconds, marks=marks)

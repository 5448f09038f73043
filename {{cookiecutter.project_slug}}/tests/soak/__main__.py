"""`make soak MINUTES=10 SEED=7`: the service under load and random faults, and its books afterwards.

Exit code 0 when every book balances; otherwise 1, and the stores and logs are kept.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import click

from service.api.tokens import mint
from service.queues import MISSED_HEARTBEATS
from tests.soak import observed, shapes
from tests.soak.books import Book, Books, unfinished
from tests.soak.chaos import Chaos
from tests.soak.doors import CLIENT
from tests.soak.load import Load
from tests.soak.report import Report, keep
from tests.soak.schedule import plan
from tests.soak.supervisor import Supervisor
from tests.soak.witness import Witness
from tests.support.stack import Stack, free_port

# Seconds: between heartbeats, shorter than in production so that a soak sees many recoveries; between two lines of
# progress; and until everything has ended once the faults are over.
HEARTBEAT_SECONDS = 2.0
LINE_SECONDS = 10.0
SETTLE_SECONDS = 180.0

# What else differs from the service as it is rendered: fewer children for two cores, and shorter waits.
POLICY = {
    "HEARTBEAT_SECONDS": f"{HEARTBEAT_SECONDS:g}",
    "QUEUE_FAST_CONCURRENCY": "2",
    "QUEUE_FAST_GRACE": "5",
    "QUEUE_SLOW_GRACE": "5",
    "QUEUE_SLOW_BACKOFF": "1",
}


@click.command()
@click.option("--minutes", type=click.FloatRange(0.2), default=2.0, help="How long faults and load go on.")
@click.option("--seed", type=int, help="The same seed gives the same schedule of faults; printed when left out.")
def main(minutes: float, seed: int | None) -> None:
    """Break the service at random under load, and check that nothing was lost or done twice."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = random.randrange(1_000_000) if seed is None else seed
    postgresql = os.environ.get("TEST_DATABASE_URL")
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    stack = Stack(directory, postgresql, **POLICY)
    click.echo(f"soak: {minutes:g} minutes, seed {seed}, on {'PostgreSQL' if postgresql else 'SQLite'}, in {directory}")
    click.echo(f"      {', '.join(f'{name}={value}' for name, value in POLICY.items())}")
    try:
        stack.prepare()
        balanced = run(stack, seed, minutes * 60)
        if not balanced:
            keep(stack)
    finally:
        stack.end()
    if balanced:
        shutil.rmtree(directory)
    else:
        sys.exit(1)


def run(stack: Stack, seed: int, seconds: float) -> bool:
    """One soak; gives whether every book balances."""
    limit = HEARTBEAT_SECONDS * MISSED_HEARTBEATS
    token, entry = mint(CLIENT, ("jobs:read", "jobs:write"), name="soak")
    port = free_port()
    supervisor = Supervisor(stack, {"API_TOKENS": entry, "PORT": str(port)})
    load, witness = Load(seed, f"http://127.0.0.1:{port}", token), Witness(supervisor)
    chaos = Chaos(plan(seed, seconds, limit), stack, supervisor)
    report = Report(load, chaos, supervisor)
    for part in (supervisor, witness, load, chaos):
        part.start()
    deadline = time.monotonic() + seconds
    with suppress(KeyboardInterrupt):
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(LINE_SECONDS, left))
            report.line()
    click.echo("soak: the faults are over; waiting until every job has ended")
    chaos.stop()
    load.stop(SETTLE_SECONDS / 2)
    shapes.stop()
    settle(report)
    witness.stop()
    roles = Book("roles end when told", len(supervisor.roles), supervisor.stop())
    (stack.directory / "chaos.log").write_text("".join(f"{line}\n" for line in chaos.done))
    kept = Books(load)
    books = [*kept.all(), *observed.books(stack, kept, witness, supervisor, limit), roles]
    report.table(books)
    return not any(book.faults for book in books)


def settle(report: Report) -> None:
    """Wait until every job has ended, but not for ever: what has not is in the books."""
    began = told = time.monotonic()
    while unfinished() and time.monotonic() - began < SETTLE_SECONDS:
        if time.monotonic() - told > LINE_SECONDS:
            report.line()
            told = time.monotonic()
        time.sleep(0.5)


if __name__ == "__main__":
    main()

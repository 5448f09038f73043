"""`make soak MINUTES=10 SEED=7`: the service under load and random faults, and its books afterwards.

Exit code 0 when every book balances; otherwise 1, and the stores and logs are kept.
"""

import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click
import httpx
from sqlalchemy.exc import SQLAlchemyError

from service.api.tokens import mint
from service.queues import MISSED_HEARTBEATS
from tests.soak import books, observed
from tests.soak.books import Book, Books
from tests.soak.chaos import Chaos
from tests.soak.load import ANSWER_SECONDS, CLIENT, Load
from tests.soak.schedule import plan
from tests.soak.supervisor import Supervisor
from tests.soak.witness import Witness, standing
from tests.support.stack import Stack, free_port, wipe

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

# Sentences printed of one book; the directory has the rest.
SENTENCES = 20


@click.command()
@click.option("--minutes", type=click.FloatRange(0.2), default=2.0, help="How long faults and load go on.")
@click.option("--seed", type=int, help="The same seed gives the same schedule of faults; printed when left out.")
def main(minutes: float, seed: int | None) -> None:
    """Break the service at random under load, and check that nothing was lost or done twice."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = random.randrange(1_000_000) if seed is None else seed
    postgresql = os.environ.get("TEST_DATABASE_URL")
    if postgresql:
        wipe(postgresql)
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
    api = httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, timeout=ANSWER_SECONDS
    )
    supervisor = Supervisor(stack, {"API_TOKENS": entry, "PORT": str(port)})
    load, witness = Load(seed, api), Witness(supervisor)
    chaos = Chaos(plan(seed, seconds, limit), stack, supervisor)
    for part in (supervisor, witness, load, chaos):
        part.start()
    began = time.monotonic()
    with suppress(KeyboardInterrupt):
        while time.monotonic() - began < seconds:
            time.sleep(min(LINE_SECONDS, began + seconds - time.monotonic()))
            tell(began, load, chaos, supervisor)
    click.echo("soak: the faults are over; waiting until every job has ended")
    chaos.stop()
    load.stop(SETTLE_SECONDS / 2)
    settled = settle(began, load, chaos, supervisor)
    witness.stop()
    roles = Book("roles end when told", len(supervisor.roles), supervisor.stop())
    (stack.directory / "chaos.log").write_text("".join(f"{line}\n" for line in chaos.done))
    kept = Books(load)
    told = [*kept.all(), *observed.books(stack, kept, witness, supervisor, limit), roles]
    report(told, chaos, supervisor, load)
    return settled and not any(book.faults for book in told)


def tell(began: float, load: Load, chaos: Chaos, supervisor: Supervisor) -> None:
    """One line of progress."""
    try:
        jobs = ", ".join(f"{count} {state}" for state, count in sorted(standing().items()))
    except SQLAlchemyError:
        jobs = "the store is away"
    ends = sum(supervisor.ends.values())
    last = chaos.done[-1].split("  ", 1)[1] if chaos.done else "none yet"
    click.echo(
        f"{time.monotonic() - began:5.0f} s  {len(load.accepted)} accepted: {jobs}; "
        f"{len(chaos.done)} faults, {ends} ends of roles; last: {last}"
    )


def settle(began: float, load: Load, chaos: Chaos, supervisor: Supervisor) -> bool:
    """Wait until every job has ended; gives whether that came to pass in time."""
    line = time.monotonic() + LINE_SECONDS
    deadline = time.monotonic() + SETTLE_SECONDS
    while left := books.unfinished():
        if time.monotonic() > deadline:
            click.echo(f"soak: expected every job to end within {SETTLE_SECONDS:g} s, got: {left} that have not")
            return False
        if time.monotonic() > line:
            tell(began, load, chaos, supervisor)
            line += LINE_SECONDS
        time.sleep(0.5)
    return True


def report(told: Sequence[Book], chaos: Chaos, supervisor: Supervisor, load: Load) -> None:
    """The table, and a sentence for each thing that does not balance."""
    ends = ", ".join(f"{count} {how}" for how, count in sorted(supervisor.ends.items()))
    acts = ", ".join(f"{count} x {act}" for act, count in sorted(chaos.acts.items()))
    again = sum(count - 1 for count in load.tries.values())
    click.echo(f"\nfaults: {acts}\nroles that ended and were started again: {ends}\norders asked again: {again}")
    for oddity in supervisor.oddities:
        click.echo(f"  {oddity}")
    click.echo(f"\n{'book':<44} {'of':>6} {'apart':>6} {'faults':>7}")
    for book in told:
        click.echo(f"{book.title:<44} {book.total:>6} {len(book.apart):>6} {len(book.faults):>7}")
    for heading, lists in (("apart", [b.apart for b in told]), ("does not balance", [b.faults for b in told])):
        sentences = [sentence for some in lists for sentence in some[:SENTENCES]]
        if sentences:
            click.echo(f"\n{heading}:")
        for sentence in sentences:
            click.echo(f"  {sentence}")
    faults = sum(len(book.faults) for book in told)
    click.echo(f"\n{'every book balances' if not faults else f'{faults} entries do not balance'}")


def keep(stack: Stack) -> None:
    """Say how to look into what is left."""
    file = stack.directory / "env"
    file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in stack.environment.items()))
    click.echo(
        f"\nThe logs of every process, the marks and the stores are kept:\n"
        f"  . {file} && .venv/bin/python -m tests.support jobs show JOB\n"
        f"  grep -h JOB {stack.directory}/*.log"
    )


if __name__ == "__main__":
    main()

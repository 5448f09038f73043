"""What a soak prints: a line now and then, and at its end the table and a sentence for each entry that is wrong."""

import shlex
import time
from collections.abc import Mapping, Sequence

import click
from sqlalchemy.exc import SQLAlchemyError

from tests.soak.books import Book
from tests.soak.chaos import Chaos
from tests.soak.load import Load
from tests.soak.supervisor import Supervisor
from tests.soak.witness import standing
from tests.support.stack import Stack

# Sentences printed of one book; the kept directory has the rest.
SENTENCES = 20


class Report:
    """The voice of one soak."""

    def __init__(self, load: Load, chaos: Chaos, supervisor: Supervisor) -> None:
        self._load, self._chaos, self._supervisor = load, chaos, supervisor
        self._began = time.monotonic()

    def line(self) -> None:
        """How it stands."""
        try:
            jobs = ", ".join(f"{count} {state}" for state, count in sorted(standing().items()))
        except SQLAlchemyError:
            jobs = "the store is away"
        done = self._chaos.done
        last = done[-1].split(" s  ", 1)[1] if done else "none yet"
        click.echo(
            f"{time.monotonic() - self._began:5.0f} s  {len(self._load.accepted)} accepted: {jobs}; "
            f"{len(done)} faults, {sum(self._supervisor.ends.values())} ends of roles; last: {last}"
        )

    def table(self, books: Sequence[Book]) -> None:
        """The books."""
        again = sum(count - 1 for count in self._load.tries.values())
        click.echo(f"\nfaults: {_counted(self._chaos.acts)}")
        click.echo(f"roles that ended and were started again: {_counted(self._supervisor.ends)}")
        click.echo(f"answers of the API: {_counted(self._load.api.answers)}; orders asked again: {again}")
        for oddity in self._supervisor.oddities:
            click.echo(f"  {oddity}")
        click.echo(f"\n{'book':<44} {'of':>6} {'apart':>6} {'wrong':>6}")
        for book in books:
            click.echo(f"{book.title:<44} {book.total:>6} {len(book.apart):>6} {len(book.faults):>6}")
        _sentences("apart", [book.apart for book in books])
        _sentences("does not balance", [book.faults for book in books])
        wrong = sum(len(book.faults) for book in books)
        click.echo(f"\n{'every book balances' if not wrong else f'{wrong} entries do not balance'}")


def keep(stack: Stack) -> None:
    """Say how to look into what is left."""
    file = stack.directory / "env"
    file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in stack.environment.items()))
    click.echo(
        f"\nThe logs of every process, the marks and the stores are kept:\n"
        f"  . {file} && .venv/bin/python -m tests.support jobs show JOB\n"
        f"  grep -h JOB {stack.directory}/*.log"
    )


def _counted(what: Mapping[str, int] | Mapping[int, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in sorted(what.items())) or "none"


def _sentences(heading: str, lists: Sequence[Sequence[str]]) -> None:
    sentences = [f"  {sentence}" for some in lists for sentence in some[:SENTENCES]]
    if sentences:
        click.echo("\n".join(["", f"{heading}:", *sentences]))

"""`memory`: what one asks when a worker grows."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from service.cli.output import Refused, operator, printable, show
from service.jobs import query
from service.ops import growth

MIB = 1024**2

# Seconds that a process has to answer; C code may keep it that long.
PATIENCE = 5.0


@click.command()
@click.option("--seconds", type=click.IntRange(1, 300), default=60, show_default=True, help="Between the two moments.")
@operator
def memory(seconds: int, as_json: bool) -> None:
    """Show which lines of code made what this host's workers hold more after some seconds than before.

    Counting makes them slower meanwhile, some two to four times. Children are found on Linux alone.
    """
    watched = dict(_processes())
    if not watched:
        raise Refused(f"expected a worker on this host, {socket.gethostname()}, got: none; run this where one is")
    before = {pid: _resident(pid) for pid in watched}
    begun = [pid for pid in watched if _answers(pid)]
    try:
        time.sleep(seconds)
    finally:
        answers = {pid: _answers(pid) for pid in begun}
    told = [_told(pid, name, before[pid], answers.get(pid)) for pid, name in watched.items()]
    if as_json:
        show(told, as_json)
        return
    for each in told:
        click.echo(printable(f"process {each['pid']} of {each['worker']}: {each['said']}"))
        for line in each["lines"]:
            click.echo(f"  {line['bytes'] / 1024:10,.1f} KiB in {line['blocks']:,} blocks  {line['where']}")


def _told(pid: int, worker: str, before: int | None, answer: list[Any] | None) -> dict[str, Any]:
    """What is said of one process."""
    found = answer[0] if answer else None
    after, grown, size = _resident(pid), None, ""
    if before is not None and after is not None:
        grown = after - before
        size = f"{after / MIB:,.1f} MiB resident, {grown / MIB:+,.1f}; "
    if found is None:
        said = f"{size}it did not answer: it ended, runs C code, or somebody else asks it"
    else:
        said = f"{size}{found['held'] / 1024:,.1f} KiB of what Python made meanwhile are held"
    about = {"pid": pid, "worker": worker, "resident": after, "grown": grown, "said": said}
    return about | {"held": found and found["held"], "lines": found["lines"] if found else []}


def _processes() -> Iterator[tuple[int, str]]:
    """The workers of this host, each before its children."""
    for row in query.alive("worker"):
        if row.host == socket.gethostname():
            yield row.pid, row.id
            for path in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):
                    if int(path.read_text().rpartition(")")[2].split()[1]) == row.pid:
                        yield int(path.parent.name), row.id


def _answers(pid: int) -> list[Any] | None:
    """Ask a process; what it writes, in a list since that may be nothing, or None when it does not."""
    path, until = growth.file(pid), time.monotonic() + PATIENCE
    with contextlib.suppress(OSError, ValueError):
        path.unlink(missing_ok=True)
        os.kill(pid, growth.SIGNAL)
        while time.monotonic() < until:
            time.sleep(0.05)
            if path.exists() and (text := path.read_text()):
                path.unlink()
                return [json.loads(text)]
    return None


def _resident(pid: int) -> int | None:
    """Bytes of a process in memory, where the system tells."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None

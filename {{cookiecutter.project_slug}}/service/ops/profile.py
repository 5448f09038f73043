"""`profile`: what one asks when a job takes long."""

import re
import socket
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from uuid import UUID

import click

from service.cli.output import Refused, operator, show
from service.jobs import State, query

# What py-spy says where it may not look.
NOT_ALLOWED = re.compile("permission denied|not permitted|elevated permissions", re.IGNORECASE)


@click.command()
@click.argument("job_id", type=click.UUID)
@click.option("--seconds", type=click.IntRange(1, 600), default=10, show_default=True, help="How long to look.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Instead of a new file in /tmp.")
@operator
def profile(job_id: UUID, seconds: int, output: Path | None, as_json: bool) -> None:
    """Draw where a running job spends its time: a flame graph, as SVG; on its worker's own host.

    It takes 100 samples a second, for which the process stands still a moment. Waiting is drawn, too, and each thread
    by itself: the job's is MainThread.
    """
    row = query.get(str(job_id), None)
    if row.state is not State.RUNNING or row.worker is None:
        raise Refused(f"expected a job to profile to be running, got: {row.state.value}")
    host, worker, _ = row.worker.partition("@")[2].rsplit(":", 2)
    here = socket.gethostname()
    if host != here:
        raise Refused(f"expected the host of the job's worker, {host}, got: {here}; run this there")
    path = output or Path(tempfile.mkstemp(".svg", "profile-")[1])
    program = Path(sysconfig.get_path("scripts")) / "py-spy"
    # A greenlet's number is none of a process.
    pid = row.pid if row.pid and row.pid > 0 else int(worker)
    words = [str(program), "record", "--idle", "--threads", "--pid", f"{pid}"]
    words += ["--duration", f"{seconds}", "--output", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        if output is None:
            path.unlink(missing_ok=True)
        raise Refused(_why(done.stdout + done.stderr, pid, row.id))
    after = query.get(row.id, None)
    whole = (after.state, after.attempt) == (row.state, row.attempt)
    said = "the whole time" if whole else "not to the end: what its process did then is in it, too"
    show({"file": str(path), "seconds": seconds, "process": pid, "ran": said}, as_json)


def _why(said: str, pid: int, job_id: str) -> str:
    if NOT_ALLOWED.search(said):
        return (
            f"expected the right to trace process {pid}, got: none; run this as root with CAP_SYS_PTRACE "
            f"(docker exec --privileged --user root), or ask `jobs stack {job_id}`, which needs no right"
        )
    return f"expected py-spy to look into process {pid}, got: {' '.join(said.split())[-300:]}"

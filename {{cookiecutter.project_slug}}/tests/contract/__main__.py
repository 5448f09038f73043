"""`make contract SEED=1`: Schemathesis against a service that runs, as callers of every kind and as a stranger.

Exit code 0 when it found nothing.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import click

import service
from local.example import example
from service import database
from service.jobs.model import ENDED, Job, State
from tests.contract.conftest import CALLERS, Service, opened
from tests.support.stack import Stack

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SPECIFICATION = Path(service.__file__).with_name("openapi.yaml")

# Schemathesis tries one after the other on each operation, until one may do it; the last has no token.
WHO = ("anna", "bert", "operator")
STRANGER = "stranger"

# For each operation and phase; with fewer, all of them together may be under 2,000 requests.
EXAMPLES = 100

# For these requests to meet: jobs of each state, and keys.
JOBS = 20
KEYS = 1000

# What is tested is each request and not how many there are; limits have tests of their own.
UNLIMITED = {"RATE_LIMIT": "off", "MAX_WAITING_JOBS": "1000000"}


@click.command()
@click.option("--seed", type=int, help="The same seed makes the same requests; printed when left out.")
def main(seed: int | None) -> None:
    """Test every operation of a service of its own with generated requests."""
    seed = random.randrange(1_000_000) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="contract-") as name:
        folder = Path(name)
        stack = Stack(folder, os.environ.get("TEST_DATABASE_URL"), PORT="0", **UNLIMITED)
        try:
            stack.prepare()
            with opened(stack) as running:
                prepare(stack, running, folder)
                known = examine(folder, running.url, seed)
                # It would warn that each answer to a stranger is 401.
                unknown = examine(folder, running.url, seed, "--auth-wfc-user", STRANGER, "--warnings", "off")
            faults = [line for line in stack.roles[0].log.read_text().splitlines() if '"request failed"' in line]
        finally:
            stack.end()
    click.echo("\n".join(faults), err=True, nl=bool(faults))
    sys.exit(max(known, unknown))


def prepare(stack: Stack, running: Service, folder: Path) -> None:
    """Write the files that the configuration names."""
    shutil.copy(CONFIGURATION, folder)
    headers = {name: {"name": "Authorization", "value": f"Bearer {running.tokens[name]}"} for name in WHO}
    headers[STRANGER] = {"name": "X-Request-Id", "value": STRANGER}
    users = [{"name": name, "fixedHeaders": [header]} for name, header in headers.items()]
    (folder / "callers.json").write_text(json.dumps({"auth": users}))
    words = {"jobs": [*jobs_in_every_state(), *jobs_done(stack, running)], "keys": [str(uuid4()) for _ in range(KEYS)]}
    for name, values in words.items():
        (folder / f"{name}.txt").write_text("".join(f'"{value}"\n' for value in values))


def jobs_in_every_state() -> Iterator[str]:
    """Make jobs as they would be, each the whole batch of the one before and a pipeline by itself; gives their ids."""
    (client, _), before = CALLERS[WHO[0]], None
    with database.transaction() as session:
        for state in list(State) * JOBS:
            row = Job(task="trials.sleep", queue="fast", kwargs={}, client=client, fingerprint="", state=state)
            row.batch_id = before
            row.id = database.new_id()
            row.steps = [{"id": row.id, "task": row.task, "queue": row.queue, "kwargs": {}}]
            row.error_type = "ValueError" if state is State.FAILED else None
            row.ended_at = datetime.now(UTC) if state in ENDED else None
            session.add(row)
            session.flush()
            before = row.id
            yield before


def jobs_done(stack: Stack, running: Service) -> Sequence[str]:
    """Let a worker do what the contract shows as an example, where that is slow work; gives the jobs' ids."""
    order = example()
    if order is None:
        return []
    with running.caller(WHO[0]) as caller:
        made = [caller.post(order.path, json=order.body).json() for _ in range(JOBS)]
    # The fast one would call third parties.
    ids = [job["id"] for job in made if job["queue"] == "slow"]
    if ids:
        worker = stack.start("worker", "slow")
        stack.ended(*ids)
        worker.stop()
    return ids


def examine(folder: Path, url: str, seed: int, *options: str) -> int:
    """Run Schemathesis once; gives its exit code."""
    program: list[str | Path] = [Path(sys.executable).with_name("schemathesis")]
    command = ["--config-file", CONFIGURATION.name, "run", f"{SPECIFICATION}", "--url", url, "--seed", f"{seed}"]
    given = ["--max-examples", f"{EXAMPLES}", *options]
    return subprocess.run([*program, *command, *given], cwd=folder, check=False).returncode


if __name__ == "__main__":
    main()

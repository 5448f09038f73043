"""Tasks that hold a secret wherever a task can, and let it go in every way they know."""

import logging
import os
import signal
import sys
import warnings

import structlog
from sqlalchemy import insert

from service.database import transaction
from service.errors import UpstreamError
from service.jobs.model import PausedQueue
from service.outbound import client
from service.worker import FastTask, app

log = structlog.get_logger()


def talk(secret: str) -> None:
    """Say it by logger, by print and by warning."""
    log.info("a secret was used", secret=f"field-{secret}", job=[f"list-{secret}"])
    log.bind(password=f"bound-{secret}").warning("a secret was bound")
    logging.getLogger("library").warning(f"text-{secret}")
    logging.getLogger("library").warning("argument %s", f"argument-{secret}")
    print(f"print-{secret}")  # noqa: T201
    print(f"stderr-{secret}", file=sys.stderr)  # noqa: T201
    warnings.warn(f"warning-{secret}", stacklevel=1)


@app.task(base=FastTask, bind=True, autoretry_for=(UpstreamError,))
def spill(self: FastTask, secret: str, how: str = "succeed") -> str:
    """Talk, and end in one of the ways in which an attempt can."""
    local = f"local-{secret}"
    talk(secret)
    if how == "retry" and self.job.row.failures == 0:
        raise UpstreamError(f"retried-{secret}", retry_after=0.1)
    if how == "fail":
        try:
            int(f"cause-{secret}")
        except ValueError as error:
            error.add_note(f"note-{secret}")
            raise KeyError(f"message-{secret}") from error
    if how == "integrity":
        with transaction() as session:
            session.execute(insert(PausedQueue).values(name=f"row-{secret}", by="test"))
            session.execute(insert(PausedQueue).values(name=f"row-{secret}", by="test"))
    if how == "url":
        client.post_json(f"http://user-{secret}:password@127.0.0.1:9/?query-{secret}", {}, idempotency_key=self.job.id)
    if how == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "memory":
        raise MemoryError(f"memory-{secret}")
    if how == "exit":
        sys.exit(f"exit-{secret}")
    return local


@app.task(base=FastTask, bind=True)
def chatter(self: FastTask, lines: int) -> None:
    """Say much."""
    for number in range(lines):
        log.info("chatter", count=number, reason="x" * 200)


@app.task(base=FastTask, bind=True)
def diary(self: FastTask, lines: int, text: str = "") -> None:
    """Keep a diary in the job's own history."""
    for number in range(lines):
        self.job.log(f"{number} {text}")

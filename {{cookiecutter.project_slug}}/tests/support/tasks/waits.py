"""Tasks for a queue whose jobs wait on others, and tasks that do not belong there."""

import ctypes
import time
from pathlib import Path

from service import database
from service.outbound import client
from service.worker import SlowTask, app
from tests.support.tasks.trials import mark


@app.task(base=SlowTask)
def ask(url: str) -> int:
    """Wait on a third party."""
    return client.call("GET", url, seconds=60).status_code


@app.task(base=SlowTask, bind=True)
def tell(self: SlowTask, url: str) -> int:
    """Post to a third party, of whose troubles the service keeps a book."""
    return client.post_json(url, {}, idempotency_key=self.job.id).status_code


@app.task(base=SlowTask, bind=True)
def hold(self: SlowTask, until: str) -> None:
    """Have a connection to the database until this file is there."""
    with database.standalone() as session:
        session.connection()
        mark(self)
        while not Path(until).exists():
            time.sleep(0.05)


@app.task(base=SlowTask, bind=True, soft_time_limit=15, time_limit=60)
def brief(self: SlowTask, until: str) -> str:
    """Return once this file is there, which is soon."""
    mark(self)
    while not Path(until).exists():
        time.sleep(0.05)
    return "returned"


@app.task(base=SlowTask, bind=True)
def compute(self: SlowTask, seconds: float) -> None:
    """Take a processor, and let nobody else have his turn."""
    mark(self)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@app.task(base=SlowTask, bind=True)
def deaf(self: SlowTask, seconds: float, to_all: bool = False) -> str:
    """Wait, whatever one is asked; to a kill, too, if it is deaf to all."""
    mark(self)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            time.sleep(left)
        except BaseException as error:
            if not (to_all or isinstance(error, Exception)):
                raise
    return "stayed"


@app.task(base=SlowTask, bind=True)
def clutch(self: SlowTask) -> str:
    """Wait in C for a minute, and let go of nothing; the second time it has learned."""
    mark(self)
    if self.job.attempt == 1:
        ctypes.PyDLL(None).sleep(60)
    return "learned"

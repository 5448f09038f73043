"""Tasks for a queue whose jobs wait on others, and tasks that do not belong there."""

import ctypes
import time

from service.outbound import client
from service.worker import SlowTask, app
from tests.support.tasks.trials import mark


@app.task(base=SlowTask)
def ask(url: str) -> int:
    """Wait on a third party."""
    return client.call("GET", url, seconds=60).status_code


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

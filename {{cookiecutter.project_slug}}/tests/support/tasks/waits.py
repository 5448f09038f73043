"""Tasks for a queue whose jobs wait on others, and tasks that do not belong there."""

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

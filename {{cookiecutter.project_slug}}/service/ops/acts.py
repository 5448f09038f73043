"""What one can do: each is a call of `jobs/operate.py`, by the name that the token's entry has."""

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import structlog
from starlette.responses import RedirectResponse, Response

from service.errors import InvalidRequest
from service.jobs import operate
from service.ops.visit import Act, Visit
from service.queues import SWEEP_ROWS
from service.webhooks import orders

log = structlog.get_logger()

# Seconds after which retrying stops, and the rest is left to another click.
RETRY_SECONDS = 3.0

# What the next page says of it.
DONE = {
    "cancel": "Cancelled; a job that runs was asked to stop.",
    "retry": "Queued again.",
    "discard": "Discarded: it is no dead letter any more.",
    "move": "Moved.",
    "stack": "Asked: its stack is below after the worker's next heartbeat.",
    "redeliver": "Its receiver is told again.",
    "pause": "Paused: what runs goes on, what waits waits.",
    "resume": "Resumed.",
    "retry-all": "{} queued again.",
}


def cancel(visit: Visit) -> Response:
    """Cancel what waits; ask what runs to stop."""
    return _changed(visit, "cancel", operate.cancel)


def retry(visit: Visit) -> Response:
    """Queue a failed or cancelled job again."""
    return _changed(visit, "retry", operate.retry)


def discard(visit: Visit) -> Response:
    """Make a failed job cancelled."""
    return _changed(visit, "discard", operate.discard)


def redeliver(visit: Visit) -> Response:
    """Post an ended job to its callback_url again."""
    return _changed(visit, "redeliver", orders.redeliver)


def stack(visit: Visit) -> Response:
    """Ask where a running job is."""
    return _changed(visit, "stack", operate.ask_stack)


def move(visit: Visit) -> Response:
    """Let a waiting job run on another queue."""
    return _changed(visit, "move", operate.move, _field(visit, "queue"))


def pause(visit: Visit) -> Response:
    """Let the queue's jobs wait."""
    operate.pause(visit.request.path_params["name"], by=visit.entry.client)
    return _queue(visit, "pause")


def resume(visit: Visit) -> Response:
    """Let them run again."""
    operate.resume(visit.request.path_params["name"])
    return _queue(visit, "resume")


def retry_all(visit: Visit) -> Response:
    """Queue the dead letters of one task and error again, as many as there are, up to a few thousand."""
    task, error = _field(visit, "task"), _field(visit, "error")
    number, last, until = 0, SWEEP_ROWS, time.monotonic() + RETRY_SECONDS
    while last == SWEEP_ROWS and time.monotonic() < until:
        last = operate.retry_all(task, error, by=visit.entry.client)
        number += last
    log.info("operator acted", reason="retry-all", task=task, count=number)
    return _go("/ops/dead-letters", done="retry-all", number=number)


ACTS: Mapping[str, Act] = {
    "/ops/jobs/{job_id:uuid}/cancel": cancel,
    "/ops/jobs/{job_id:uuid}/retry": retry,
    "/ops/jobs/{job_id:uuid}/discard": discard,
    "/ops/jobs/{job_id:uuid}/move": move,
    "/ops/jobs/{job_id:uuid}/redeliver": redeliver,
    "/ops/jobs/{job_id:uuid}/stack": stack,
    "/ops/queues/{name}/pause": pause,
    "/ops/queues/{name}/resume": resume,
    "/ops/dead-letters/retry": retry_all,
}


def _changed(visit: Visit, name: str, act: Callable[..., Any], *more: str) -> Response:
    job_id = str(visit.request.path_params["job_id"])
    act(job_id, *more, by=visit.entry.client, client=None)
    log.info("operator acted", reason=name, job_id=job_id)
    return _go(f"/ops/jobs/{job_id}", done=name)


def _queue(visit: Visit, name: str) -> Response:
    # A queue has no history: who resumed it is in the log, where all acts are.
    log.info("operator acted", reason=name, queue=visit.request.path_params["name"])
    return _go("/ops", done=name)


def _field(visit: Visit, name: str) -> str:
    if not visit.form.get(name):
        raise InvalidRequest(f"expected {name} in the form, got: nothing", field=name)
    return visit.form[name]


def _go(path: str, **about: object) -> Response:
    return RedirectResponse(f"{path}?{urlencode(about)}", 303)

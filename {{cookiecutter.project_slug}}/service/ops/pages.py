"""What one can look at."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from service import database
from service.config import settings
from service.errors import InvalidRequest, JobNotFound
from service.jobs import Job, State, query
from service.jobs.model import ENDED, WAITING, Process
from service.jobs.query import QueueStatus
from service.ops import charts, store
from service.ops.acts import DONE
from service.ops.visit import Act, Visit
from service.queues import ALERT_WAIT, CANCEL_SIGNAL_SECONDS, DEADLINE_GRACE, MAX_CRASHES, MAX_LOSSES

# How a time is written in a form, in UTC.
TIMES = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")

STATES = [store.WAITS, *(state.value for state in State)]

# What may be done to a job in each state.
ACTS = {
    **dict.fromkeys(WAITING, ("cancel", "move")),
    State.RUNNING: ("cancel", "stack"),
    State.FAILED: ("retry", "discard"),
    State.CANCELLED: ("retry",),
    State.SUCCEEDED: (),
}

# Where each leads: once a job is elsewhere, what was done to it is no news any more.
LEADS_TO = {
    **dict.fromkeys(("retry", "move"), (*WAITING, State.RUNNING)),
    "stack": (State.RUNNING,),
    "cancel": (State.RUNNING, State.CANCELLED),
    "discard": (State.CANCELLED,),
}

# What keeps a waiting job from running, where the store's word for it says too little.
WAITS_FOR = {
    "pause": "its queue is paused",
    "task": "waits for a worker that knows its task",
    None: "no worker of its queue is alive",
}

# What to do about a dead letter that has no traceback: nobody was left to write one.
ADVICE = {
    "poison": f"It ended its own process {MAX_CRASHES} times, nearly always by its memory. Without a mend, a retry "
    "ends as many again; its arguments and the last lines of its log are all there is to go by.",
    "lost": f"Its workers died {MAX_LOSSES} times under it, with whatever else they ran: look at their hosts first.",
}


def front(visit: Visit) -> Response:
    """The queues, and what wants somebody's attention."""
    statuses, beats, flow = query.queues(), query.alive("beat"), store.flow()
    present, silent, running = database.present(), store.silent(), store.running()
    replaced = _replaced(silent, [*beats, *(worker for status in statuses for worker in status.workers)])
    stuck = [process for process in silent if process.id not in replaced]
    return visit.show(
        "front.html",
        statuses=statuses,
        drawn={status.name: charts.throughput(flow, status.name) for status in statuses},
        policy=settings().queues,
        beats=beats,
        silent=silent,
        replaced=replaced,
        running=running,
        troubles=list(_troubles(statuses, beats, stuck, running, present)),
        present=present,
        done=_done(visit),
    )


def jobs(visit: Visit) -> Response:
    """Jobs, newest first."""
    asked = visit.asked
    text = asked.get("text")
    if text is not None and (job_id := _id(text)):
        return RedirectResponse(f"/ops/jobs/{job_id}", 303)
    if asked.get("state", "failed") not in STATES:
        raise InvalidRequest(f"expected state to be one of {', '.join(STATES)}, got something else", field="state")
    cursor = asked.get("cursor")
    if cursor is not None and not (cursor := _id(cursor)):
        raise InvalidRequest("expected cursor to be a job's id, got something else", field="cursor")
    words: dict[str, Any] = {name: asked.get(name) for name in ("state", "task", "queue", "client", "error", "text")}
    times: dict[str, Any] = {name: _time(name, asked[name]) for name in ("since", "until") if name in asked}
    wanted = store.Wanted(**words, **times)
    rows, following = store.listing(wanted, cursor)
    kept = {name: value for name, value in asked.items() if name in {*words, *times}}
    return visit.show(
        "jobs.html",
        rows=rows,
        wanted=wanted,
        given=kept,
        older=f"/ops/jobs?{urlencode({**kept, 'cursor': following})}" if following else None,
        newest=f"/ops/jobs?{urlencode(kept)}" if cursor else None,
        states=STATES,
        queues=list(settings().queues),
        looked_through=store.LOOKED_THROUGH,
        searched=store.SEARCHED,
        present=database.present(),
    )


def job(visit: Visit) -> Response:
    """One job, with what happened to it and what can be done."""
    job_id = _id(visit.request.path_params["job_id"])
    if job_id is None:
        raise JobNotFound
    row = query.get(job_id, None)
    return visit.show(
        "job.html",
        row=row,
        held=_held(row),
        killed_at=row.deadline - timedelta(seconds=DEADLINE_GRACE) if row.deadline else None,
        advice=ADVICE.get(row.error_type or ""),
        killed_after=2 * CANCEL_SIGNAL_SECONDS,
        events=store.history(row.id),
        most_events=store.EVENTS,
        acts=_acts(row),
        queues=[name for name in settings().queues if name != row.queue],
        ended=row.state in ENDED,
        present=database.present(),
        done=_done(visit) if row.state in LEADS_TO.get(visit.asked.get("done", ""), ENDED) else "",
    )


def dead_letters(visit: Visit) -> Response:
    """Failed jobs by task and error."""
    groups, more = store.dead_letters()
    values = {"groups": groups, "more": more, "advice": ADVICE, "present": database.present(), "done": _done(visit)}
    return visit.show("dead_letters.html", **values)


PAGES: Mapping[str, Act] = {
    "/ops": front,
    "/ops/jobs": jobs,
    "/ops/jobs/{job_id}": job,
    "/ops/dead-letters": dead_letters,
}


def _troubles(
    statuses: list[QueueStatus], beats: Any, silent: Any, running: store.Found, present: datetime
) -> Iterator[Any]:
    """What an operator would want to know first: what is the matter, and where to go about it."""
    for status in statuses:
        waits = f"/ops/jobs?state=waiting&queue={status.name}"
        if status.paused is not None:
            since = f"{status.paused.paused_at:%Y-%m-%d %H:%M}"
            yield f"Queue {status.name} is paused, since {since} UTC", f"#{status.name}"
        elif not status.workers:
            yield f"Queue {status.name} has no living worker", "#" + status.name
        elif status.oldest_seconds > ALERT_WAIT:
            yield f"Queue {status.name}: the oldest job has waited for {status.oldest_seconds / 60:.0f} min", waits
        if status.dead_letters:
            number = f"{status.dead_letters:,}{'+' if status.dead_letters >= query.COUNT_CAP else ''}"
            yield f"Queue {status.name} has dead letters: {number}", "/ops/dead-letters"
    for process in silent:
        yield f"{process.id} is silent: restart it", "#beats"
    for row in running:
        limits = settings().queues.get(row.queue)
        ran = (present - row.started_at).total_seconds() if row.started_at else 0
        if limits is not None and ran > limits.soft_limit:
            yield f"A job of {row.task} runs longer than its queue's soft limit", f"/ops/jobs/{row.id}"
    if not beats:
        yield "No beat lives: nothing that is due by the clock is ordered", "#beats"


def _replaced(silent: Sequence[Process], living: Sequence[Process]) -> set[str]:
    """The silent processes that were restarted: for each, one of its kind has started since it was last heard of."""
    free, found = list(living), set[str]()
    for process in silent:
        kind = (process.role, process.queue)
        others = [each for each in free if (each.role, each.queue) == kind and each.started_at > process.seen_at]
        if others:
            free.remove(others[0])
            found.add(process.id)
    return found


def _held(row: Job) -> str | None:
    """What keeps a waiting job from running, if it is more than those before it."""
    if row.state not in WAITING:
        return None
    if row.waiting_for is None and any(worker.queue == row.queue for worker in query.alive("worker")):
        return None
    return WAITS_FOR.get(row.waiting_for, f"waits for {row.waiting_for}")


def _acts(row: Job) -> tuple[str, ...]:
    """What may be done to a job as it is."""
    if row.state in ENDED:
        return ACTS[row.state] + (("redeliver",) if row.callback_url else ())
    return ACTS[row.state] if row.cancel_requested_at is None else ("stack",)


def _done(visit: Visit) -> str:
    """What was done before this page was asked for."""
    words, number = DONE.get(visit.asked.get("done", ""), ""), visit.asked.get("number", "")
    return words.format(number if number.isdecimal() and len(number) < 8 else "Some")


def _id(text: str) -> str | None:
    try:
        return str(UUID(text)) if len(text) == 36 else None
    except ValueError:
        return None


def _time(name: str, text: str) -> datetime:
    for form in TIMES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise InvalidRequest(f"expected {name} to be like 2030-01-31T09:30, in UTC, got something else", field=name)

"""What a deploy runs in the image that it deploys, beside the roles: `python -m deploy.inside fit`, and `verify`.

`fit` looks whether what waits can be done by this version; `verify`, whether this version is there and works.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import inspect, select

from service import observe
from service.config import settings
from service.database import engine, standalone
from service.errors import InvalidArguments, ServiceError
from service.jobs import Job, State, catalogue, doorbell, query, submit
from service.jobs.model import ENDED, Task
from service.worker.app import entries

# Seconds: for the new version to be there and for its canaries to be done; for one answer of the API; between looks.
VERIFY_SECONDS = 120
ANSWER_SECONDS = 5
LOOK_SECONDS = 1.0

# Jobs that are held against the new tasks; with more the oldest are.
MAX_JOBS = 100_000

# Problems that are named.
MAX_NAMED = 5


class Unfit(Exception):
    """The version should not be deployed, or is not well; the sentence says why."""


def fit() -> str:
    """Hold the jobs that wait or run, and the signatures that callers use now, against this version's tasks.

    Raises:
        Unfit: something would be stranded.
    """
    if not inspect(engine()).has_table(Task.__tablename__):
        return "nothing waits, since there is no database yet"
    new = {task.name: task for task in entries()}
    problems = [*_narrower(new), *_stranded(new)]
    if problems:
        more = f"; and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
        raise Unfit(
            f"expected what waits to fit this version, got: {'; '.join(problems[:MAX_NAMED])}{more}; "
            "keep the old signature for one more release, or let those jobs end first"
        )
    return f"what waits fits {len(new)} tasks"


def _narrower(new: dict[str, Task]) -> Iterator[str]:
    """Tasks that refuse what they took until now: the API that runs yet goes on to accept it during the deploy."""
    for old in catalogue.entries():
        if old.name not in new:
            continue
        before, after = old.schema, new[old.name].schema
        known = before.get("properties", {})
        for name in sorted({*after.get("required", ())} - {*before.get("required", ())}):
            yield f"{old.name} demands {name}, which had not to be given until now"
        for name in sorted({*known} - {*after.get("properties", {})}):
            yield f"{old.name} takes no {name} any more"
        for name in sorted({*known} & {*after.get("properties", {})}):
            if not _wider(known[name], after["properties"][name]):
                yield f"{old.name} takes another kind of {name}"


def _wider(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the second schema takes all that the first does, as far as one can see without solving riddles."""
    kinds = [_alternatives(each) for each in (before, after)]
    return all(any(kind == other or not other for other in kinds[1]) for kind in kinds[0])


def _alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in each.items() if name not in {"title", "default", "description"}}
        for each in schema.get("anyOf", [schema])
    ]


def _stranded(new: dict[str, Task]) -> Iterator[str]:
    """Jobs that no worker of this version could do."""
    found: dict[str, int] = {}
    waiting = select(Job.task, Job.kwargs).where(Job.state.not_in(ENDED)).order_by(Job.id).limit(MAX_JOBS)
    with standalone() as session:
        for task, kwargs in session.execute(waiting).yield_per(1000):
            said = f"of {task}, which this version does not have" if task not in new else _misfit(new[task], kwargs)
            if said:
                found[said] = found.get(said, 0) + 1
    for said, number in found.items():
        yield f"{number} job{'s' if number > 1 else ''} {said}"


def _misfit(task: Task, kwargs: dict[str, Any]) -> str:
    try:
        catalogue.validate(task, kwargs)
    except InvalidArguments as error:
        return f"of {task.name} whose arguments do not fit any more ({error.field or 'as a whole'})"
    return ""


def verify() -> str:
    """Wait until every role is there in this version, and in no other, and a job of each queue was done.

    Raises:
        Unfit: not within VERIFY_SECONDS; the sentence names what is missing.
    """
    began = datetime.now(UTC)
    deadline = time.monotonic() + VERIFY_SECONDS
    canaries: dict[str, str] = {}
    looks: dict[str, Callable[[], str]] = {
        "api": _api,
        "beat": lambda: _processes("beat", None),
        **{f"worker-{queue}": lambda queue=queue: _processes("worker", queue) for queue in settings().queues},  # type: ignore[misc]
        **{f"canary.{queue}": lambda queue=queue: _canary(canaries, queue, began) for queue in settings().queues},  # type: ignore[misc]
    }
    while missing := {name: said for name, look in looks.items() if (said := _said(look))}:
        if time.monotonic() > deadline:
            said = "; ".join(f"{name}: {said}" for name, said in missing.items())
            raise Unfit(f"expected every role at {settings().service_version} within {VERIFY_SECONDS} s, got: {said}")
        time.sleep(LOOK_SECONDS)
    return f"every role runs {settings().service_version}, and each queue did a job"


def _said(look: Callable[[], str]) -> str:
    try:
        return look()
    except (ServiceError, httpx.HTTPError) as error:
        return f"{type(error).__name__}: {error}"


def _api() -> str:
    url = f"{os.environ['API_URL']}/health/ready"
    answer = httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False)
    if not answer.is_success:
        return f"{answer.status_code} from {url}"
    version = answer.json()["version"]
    return "" if version == settings().service_version else f"it runs {version}"


def _processes(role: str, queue: str | None) -> str:
    found = {process.version for process in query.alive(role) if process.queue == queue}
    if found == {settings().service_version}:
        return ""
    return f"there is {', '.join(sorted(found)) or 'none'}"


def _canary(submitted: dict[str, str], queue: str, began: datetime) -> str:
    """Of each queue a job that does nothing; behind others that take long, one of those that has begun says as much."""
    task = f"canary.{queue}"
    if queue not in submitted:
        expires = began + timedelta(seconds=VERIFY_SECONDS)
        submitted[queue] = submit(task, {}, client="deploy", expires_at=expires).id
        doorbell.flush(LOOK_SECONDS)
    row = query.get(submitted[queue], None)
    if row.state is State.SUCCEEDED:
        return ""
    if row.state in ENDED:
        return f"it {row.state.value}: {row.error_message}; `jobs show {row.id}` tells more"
    (status,) = (each for each in query.queues() if each.name == queue)
    here = [process.id for process in status.workers if process.version == settings().service_version]
    with standalone() as session:
        begun = select(Job.id).where(Job.queue == queue, Job.worker.in_(here), Job.state == State.RUNNING).limit(1)
        if session.scalar(begun) or status.paused:
            # Whoever paused a queue means it to stand still, deploy or not.
            return ""
    return f"it is {row.state.value}"


COMMANDS: dict[str, Callable[[], str]] = {"fit": fit, "verify": verify}


def main(words: list[str]) -> None:
    """Exit code 0 with a sentence on standard output, or 1 with one on standard error."""
    if len(words) != 1 or words[0] not in COMMANDS:
        sys.exit(f"expected one of {', '.join(COMMANDS)}, got: {' '.join(words) or 'nothing'}")
    if words == ["verify"] and "API_URL" not in os.environ:
        sys.exit("expected API_URL to be where the API is reached from here, got: nothing; set it, as http://api:8000")
    observe.start(settings(), "deploy")
    try:
        print(COMMANDS[words[0]]())
    except Unfit as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])

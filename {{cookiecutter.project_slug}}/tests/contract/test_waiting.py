"""Waiting for a job: when to ask again, and an answer without a body while nothing has changed."""

import http.client
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from service.database import transaction
from service.jobs import Job, State
from service.jobs.operate import pause, resume
from service.queues import QUEUES
from tests.contract.conftest import Make, Service

NOW = datetime(2026, 11, 21, tzinfo=UTC)

# Whatever a worker or an operator may do to a job that can be seen.
CHANGES: dict[str, dict[str, Any]] = {
    "its queue": {"queue": "fast"},
    "its state": {"state": State.RETRYING},
    "what it waits for": {"waiting_for": "time"},
    "its attempt": {"attempt": 1},
    "its failures": {"failures": 1},
    "its crashes": {"crashes": 1},
    "its losses": {"losses": 1},
    "its progress": {"progress_done": 1},
    "its progress's total": {"progress_done": 1, "progress_total": 2},
    "its progress's words": {"progress_done": 1, "progress_total": 2, "progress_message": "rows"},
    "its error": {"error_type": "ValueError"},
    "its error's words": {"error_type": "ValueError", "error_message": "no"},
    "that it shall stop": {"cancel_requested_at": NOW},
    "when it may run": {"run_at": NOW},
    "when it started": {"started_at": NOW},
    "its result": {"result": {"rows": 1}},
    "its end": {"state": State.SUCCEEDED, "ended_at": NOW},
}


def change(job_id: str, **columns: Any) -> None:
    """Let something happen to a job."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**columns))


def test_retry_after_until_it_has_ended(anna: httpx.Client, job: Make) -> None:
    """A job that has not ended says when to ask again; one that has says nothing."""
    path = f"/v1/jobs/{job()}"
    shown = anna.get(path)
    assert int(shown.headers["retry-after"]) >= 1
    assert "retry-after" in anna.get(path, headers={"If-None-Match": shown.headers["etag"]}).headers
    change(path.rpartition("/")[2], state=State.SUCCEEDED, ended_at=NOW)
    assert "retry-after" not in anna.get(path).headers


def test_the_tag_changes_with_whatever_is_visible(anna: httpx.Client, job: Make) -> None:
    """After each change the caller's tag is out of date once, and the next is good until another change."""
    # One that is paused would hide what else its jobs wait for.
    for queue in QUEUES:
        resume(queue)
    job_id = job()
    path, tags = f"/v1/jobs/{job_id}", [anna.get(f"/v1/jobs/{job_id}").headers["etag"]]
    for name, columns in CHANGES.items():
        change(job_id, **columns)
        changed = anna.get(path, headers={"If-None-Match": tags[-1]})
        assert changed.status_code == 200, name
        tags.append(changed.headers["etag"])
        assert anna.get(path, headers={"If-None-Match": tags[-1]}).status_code == 304, name
    assert len(set(tags)) == len(tags)


def test_the_tag_changes_with_a_pause(anna: httpx.Client, job: Make) -> None:
    """What is a fact of the queue and not of the job's row is visible, too."""
    path = f"/v1/jobs/{job()}"
    tag = anna.get(path).headers["etag"]
    pause("slow", by="ops")
    try:
        assert anna.get(path, headers={"If-None-Match": tag}).json()["waiting_for"] == "pause"
    finally:
        resume("slow")
    assert anna.get(path, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a,b" ,W/"c",{}', "*"])
def test_tags_may_be_sent_in_any_form(anna: httpx.Client, job: Make, form: str) -> None:
    """A list, weak tags and a star are what HTTP allows."""
    path = f"/v1/jobs/{job()}"
    tag = anna.get(path).headers["etag"]
    assert anna.get(path, headers={"If-None-Match": form.format(tag)}).status_code == 304


@pytest.mark.parametrize("given", ["", "nonsense", '"', '"other"', "W/", "\xff"])
def test_other_tags_change_nothing(anna: httpx.Client, job: Make, given: str) -> None:
    """A tag that is none of this job's, or none at all, is no error: the job is shown."""
    headers = {b"If-None-Match": given.encode("latin-1")}
    assert anna.get(f"/v1/jobs/{job()}", headers=headers).status_code == 200


def test_a_tag_opens_nothing(service: Service, anna: httpx.Client, bert: httpx.Client, job: Make) -> None:
    """Whoever guesses a tag, or sends a star, learns nothing about another's job."""
    path = f"/v1/jobs/{job()}"
    for tag in (anna.get(path).headers["etag"], "*"):
        assert bert.get(path, headers={"If-None-Match": tag}).status_code == 404
        with service.caller() as stranger:
            assert stranger.get(path, headers={"If-None-Match": tag}).status_code == 401


def test_304_on_the_wire(service: Service, job: Make) -> None:
    """A 304 has the tag and says how it may be kept; it has no body, no type, and the connection goes on."""
    url, path = httpx.URL(service.url), f"/v1/jobs/{job()}"
    token = {"Authorization": f"Bearer {service.tokens['anna']}"}
    connection = http.client.HTTPConnection(url.host, url.port, timeout=10)
    connection.request("GET", path, headers=token)
    shown = connection.getresponse()
    body, tag, plug = shown.read(), shown.headers["ETag"], connection.sock
    for _ in range(2):
        connection.request("GET", path, headers=token | {"If-None-Match": tag})
        answer = connection.getresponse()
        assert (answer.status, answer.read(), answer.headers["ETag"]) == (304, b"", tag)
        assert answer.headers["Cache-Control"] == shown.headers["Cache-Control"] == "private, no-cache"
        assert not {"content-type", "content-length", "transfer-encoding"} & {name.lower() for name in answer.headers}
    connection.request("GET", path, headers=token)
    assert connection.getresponse().read() == body
    assert connection.sock is plug
    connection.close()

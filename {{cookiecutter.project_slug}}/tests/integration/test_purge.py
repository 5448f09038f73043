"""The nightly purge, where there is more to delete than one job has time for."""

import threading
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import event, text, update

from service import database
from service.jobs import Job, State, history, operate, submit
from tests.support.stack import Stack, until

BLOCKED = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE 'DELETE FROM jobs%'"
)


def blocked() -> bool:
    """Whether somebody waits for a job's row to delete it."""
    with database.standalone() as session:
        return bool(session.scalar(BLOCKED))


def test_what_one_nights_purge_does_not_finish_the_next_job_goes_on_with(stack: Stack) -> None:
    with database.transaction() as session:
        ids = [submit("trials.echo", {"value": f"{number}"}, session=session).id for number in range(60)]
    with database.transaction() as session:
        ended = {"state": State.SUCCEEDED, "ended_at": database.now(-86_400 * 31)}
        session.execute(update(Job).where(Job.id.in_(ids)).values(ended))
    stack.start("worker", "fast", PURGE_SECONDS="0.001")
    first = stack.submit("maintenance.purge")
    assert stack.ended(first.id)[0].result == {"jobs": 25}
    until(lambda: [job.result for job in stack.jobs("maintenance.purge")].count({"jobs": 10}) == 1)
    assert {job.id for job in stack.jobs("trials.echo")}.isdisjoint(ids)
    assert len(stack.jobs("maintenance.purge")) == 3


def test_a_job_that_is_retried_while_it_is_purged_stays(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    if "sqlite" in stack.environment["DATABASE_URL"]:
        pytest.skip("SQLite has one writer at a time, so that the two never meet")
    job = stack.submit("trials.echo", value="x")
    operate.cancel(job.id, by="test", client=None)
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(ended_at=database.now(-86_400 * 31)))
    purged: list[tuple[int, bool]] = []
    purge = threading.Thread(target=lambda: purged.append(operate.purge(30)))

    def after_the_purge_has_begun(*args: Any, **options: Any) -> None:
        purge.start()
        until(blocked)
        history.record(*args, **options)

    monkeypatch.setattr(operate, "record", after_the_purge_has_begun)
    operate.retry(job.id, by="test", client=None)
    purge.join(20)
    assert purged == [(0, True)]
    assert stack.job(job.id).state is State.QUEUED


@pytest.mark.parametrize(
    ("patience", "batches"), [(60.0, [25, 50, 100, 5]), (0.0, [25, 12, 6, 3, 1, 1])], ids=["fast", "slow"]
)
def test_batches_grow_while_they_are_fast_and_shrink_while_they_are_not(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, patience: float, batches: list[int]
) -> None:
    with database.transaction() as session:
        for _ in range(180):
            submit("trials.echo", {"value": "x"}, session=session)
        session.execute(update(Job).values(state=State.SUCCEEDED, ended_at=database.now(-86_400 * 31)))
    before: list[int] = []

    def note(_: object, __: object, statement: str, *rest: object) -> None:
        if statement.startswith("DELETE FROM jobs"):
            before.append(len(stack.jobs("trials.echo")))

    monkeypatch.setattr(operate, "BATCH_SECONDS", patience)
    event.listen(database.engine(), "before_cursor_execute", note)
    try:
        assert operate.purge(30) == (180, True)
    finally:
        event.remove(database.engine(), "before_cursor_execute", note)
    assert [many - fewer for many, fewer in pairwise([*before, 0])][: len(batches)] == batches

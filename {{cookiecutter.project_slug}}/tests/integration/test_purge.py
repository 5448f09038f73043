"""The nightly purge, where there is more to delete than one job has time for."""

from sqlalchemy import update

from service import database
from service.jobs import Job, State, submit
from tests.support.stack import Stack, until


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

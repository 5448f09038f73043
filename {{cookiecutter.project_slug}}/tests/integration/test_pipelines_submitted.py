"""Submitting a pipeline: all of it or nothing, once for a key, as one job of its client; and whose it is."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from service import database
from service.errors import IdempotencyConflict, InvalidArguments, TooManyWaiting, UnknownTask
from service.jobs import Job, State, operate, submit
from service.jobs.model import Event
from service.jobs.shapes import pipelines
from service.jobs.shapes.pipelines import PipelineNotFound
from tests.integration.test_pipelines_of_jobs import ended, order
from tests.support.stack import Stack


def rows(what: type[Job] | type[Event] = Job) -> int:
    """How many rows there are."""
    with database.standalone() as session:
        return session.scalars(select(func.count()).select_from(what)).one()


@pytest.fixture
def paused(running: Stack) -> Iterator[Stack]:
    """The stack while nothing of the fast queue is begun."""
    operate.pause("fast", by="test")
    yield running
    operate.resume("fast")


def test_a_pipeline_from_inside_a_job_is_committed_with_it(running: Stack) -> None:
    (failed,) = running.ended(running.submit("errands.begins", order=12, fail=True).id)
    assert failed.state is State.FAILED
    assert not [row for row in running.jobs("errands.pick") if row.kwargs["order"] == 12]
    (done,) = running.ended(running.submit("errands.begins", order=13).id)
    assert ended(str(done.result)).state is State.SUCCEEDED


def test_equal_requests_at_once_make_one_pipeline(paused: Stack) -> None:
    def request(_: int) -> str:
        return pipelines.submit(order(15), client="shop", idempotency_key="order-15")

    with ThreadPoolExecutor(8) as pool:
        made = Counter(pool.map(request, range(16)))
    assert list(made.values()) == [16]
    for other in (order(16), order(15)[:2], order(15)[::-1]):
        with pytest.raises(IdempotencyConflict):
            pipelines.submit(other, client="shop", idempotency_key="order-15")
    with pytest.raises(IdempotencyConflict):
        submit(*order(15)[0], client="shop", idempotency_key="order-15")
    pipelines.cancel(next(iter(made)), by="test", client="shop")


class TestRefused:
    """Nothing is half submitted."""

    @pytest.fixture(autouse=True)
    def _unchanged(self, running: Stack) -> Any:
        before = rows(), rows(Event)
        yield
        assert (rows(), rows(Event)) == before

    @pytest.mark.parametrize("count", [0, 21])
    def test_no_steps_or_too_many(self, count: int) -> None:
        with pytest.raises(InvalidArguments, match=f"expected a pipeline of 1 to 20 steps, got: {count}") as refused:
            pipelines.submit([("errands.pick", {"order": 1})] * count)
        assert refused.value.field == "steps"

    @pytest.mark.parametrize("given", [{"order": "x"}, {"order": 1, "other": 2}, {}, "text", {"order": {1}}])
    def test_a_step_that_its_task_does_not_take(self, given: Any) -> None:
        with pytest.raises(InvalidArguments, match=r"step 1: ") as refused:
            pipelines.submit([order(1)[0], ("errands.pack", given), order(1)[2]])
        assert refused.value.field == "steps.1"

    def test_a_task_that_nobody_knows(self) -> None:
        with pytest.raises(UnknownTask, match=r"step 2: .*errands\.deliver") as refused:
            pipelines.submit([*order(1)[:2], ("errands.delivers", {"order": 1})])
        assert refused.value.field == "steps.2"

    def test_more_than_a_job_may_be_given(self) -> None:
        with pytest.raises(InvalidArguments, match="at most 65536 bytes"):
            pipelines.submit([("trials.echo", {"value": "x" * 40_000})] * 2)

    def test_more_than_a_client_may_have_waiting(self) -> None:
        with pytest.raises(TooManyWaiting):
            pipelines.submit(order(1), client="greedy", may_wait=0)


def test_a_pipeline_is_one_waiting_job_of_its_client(stack: Stack) -> None:
    stack.start("worker", "fast").stop()
    for number in range(2):
        pipelines.submit(order(number), client="modest", may_wait=2)
    assert rows() == 2
    with pytest.raises(TooManyWaiting):
        pipelines.submit(order(3), client="modest", may_wait=2)


def test_anothers_pipeline_is_one_that_never_was(paused: Stack) -> None:
    made = pipelines.submit(order(17), client="shop")
    single = submit("trials.echo", {"value": "x"}, client="shop").id
    for id_, client in ((made, "other"), (single, "shop"), (database.new_id(), None)):
        for act in (pipelines.cancel, pipelines.retry):
            with pytest.raises(PipelineNotFound):
                act(id_, by="test", client=client)
        with pytest.raises(PipelineNotFound):
            pipelines.get(id_, client)
    assert paused.job(made).state is State.QUEUED
    pipelines.cancel(made, by="test", client="shop")

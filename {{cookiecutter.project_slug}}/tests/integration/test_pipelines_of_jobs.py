"""Pipelines: steps on several queues, how they stand as one, and what a person may do to them."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import update

from service import database
from service.errors import WrongState
from service.jobs import Job, State, operate
from service.jobs.shapes import pipelines
from service.jobs.shapes.pipelines import Pipeline, PipelineNotFound
from tests.integration.test_commands import answer, command
from tests.support.stack import Stack, until

TASKS = ("errands.pick", "errands.pack", "errands.deliver")


def order(number: int, *does: str, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    """The three steps of an order, of which the first ones do this."""
    told = [*does, *["succeed"] * 3]
    return [(task, {"order": number, "does": told[step], **fields}) for step, task in enumerate(TASKS)]


def ended(made: str, seconds: float = 30.0) -> Pipeline:
    """The pipeline, once it goes no further."""
    until(lambda: pipelines.get(made).ended, seconds=seconds)
    return pipelines.get(made)


def states(found: Pipeline) -> list[str | None]:
    """Where each step stands."""
    return [step.state for step in found.steps]


def did(stack: Stack, found: Pipeline) -> list[str]:
    """What the last step says that was done, by itself and before it."""
    result = stack.job(found.steps[-1].id).result
    assert result is not None
    return list(result["did"])


def test_each_step_runs_on_its_queue_with_what_the_one_before_returned(running: Stack) -> None:
    made = pipelines.submit(order(1), client="shop")
    assert states(pipelines.get(made, "shop"))[1:] == [None, None]
    found = ended(made)
    assert (found.id, found.client, found.state, states(found)) == (made, "shop", "succeeded", ["succeeded"] * 3)
    assert [(step.task, step.queue, step.attempt) for step in found.steps] == [
        ("errands.pick", "fast", 1),
        ("errands.pack", "slow", 1),
        ("errands.deliver", "fast", 1),
    ]
    jobs = [running.job(step.id) for step in found.steps]
    assert [row.result for row in jobs] == [{"order": 1, "did": list(TASKS[: n + 1])} for n in range(3)]
    for before, after in itertools.pairwise(jobs):
        assert before.ended_at is not None
        assert before.ended_at <= after.created_at
    assert {row.client for row in jobs} == {"shop"}
    assert [running.events(row.id) for row in jobs] == [["accepted", "started", "succeeded"]] * 3


def test_a_step_has_retries_of_its_own(running: Stack) -> None:
    found = ended(pipelines.submit(order(2, "succeed", "fail once", "die once")), seconds=60)
    assert [(step.state, step.attempt) for step in found.steps] == [("succeeded", number) for number in (1, 2, 2)]
    assert [len(running.effects(step.id)) for step in found.steps] == [1, 1, 1]


@pytest.mark.parametrize("how", ["as one", "by its step", "with all of its kind"])
def test_it_is_retried_from_where_it_failed(running: Stack, how: str) -> None:
    number = {"as one": 3, "by its step": 4, "with all of its kind": 5}[how]
    made = pipelines.submit(order(number, "succeed", "fail"))
    found = ended(made)
    assert (found.state, states(found)) == ("failed", ["succeeded", "failed", None])
    assert [step.error for step in found.steps] == [None, "ValueError", None]
    (running.directory / f"mended-{number}").touch()
    if how == "as one":
        assert pipelines.retry(made, by="test", client=None).ended is False
    elif how == "by its step":
        operate.retry(found.steps[1].id, by="test", client=None)
    else:
        assert operate.retry_all("errands.pack", "ValueError", by="test") == 1
    found = ended(made)
    assert (found.state, [step.attempt for step in found.steps]) == ("succeeded", [1, 2, 1])
    assert [running.effects(step.id) for step in found.steps] == [[1], [2], [1]]
    assert did(running, found) == list(TASKS)
    with pytest.raises(WrongState, match="got: succeeded"):
        pipelines.retry(made, by="test", client=None)


def test_one_that_waits_is_cancelled_at_once_and_goes_on_from_there(running: Stack) -> None:
    operate.pause("fast", by="test")
    made = pipelines.submit(order(6))
    found = pipelines.cancel(made, by="anna", client=None)
    assert (found.state, found.ended, states(found)) == ("cancelled", True, ["cancelled", None, None])
    with pytest.raises(WrongState, match="expected a pipeline to cancel not to have ended, got: cancelled"):
        pipelines.cancel(made, by="anna", client=None)
    operate.resume("fast")
    pipelines.retry(made, by="anna", client=None)
    assert (ended(made).state, running.events(made)[:3]) == ("succeeded", ["accepted", "cancelled", "retried by hand"])


@pytest.mark.parametrize(
    ("does", "expected"), [("look", ["cancelled", None, None]), ("", ["succeeded", "cancelled", None])]
)
def test_one_that_runs_goes_no_further(running: Stack, does: str, expected: list[str | None]) -> None:
    made = pipelines.submit(order(7, does, seconds=2.0))
    until(lambda: pipelines.get(made).state is State.RUNNING and running.attempts(made))
    found = pipelines.cancel(made, by="test", client=None)
    assert found.state is State.RUNNING
    found = ended(made)
    assert (found.state, states(found)) == ("cancelled", expected)
    pipelines.retry(made, by="test", client=None)
    found = ended(made)
    assert (found.state, [len(running.effects(step.id)) for step in found.steps]) == ("succeeded", [1, 1, 1])


def test_a_step_that_was_discarded_or_moved(running: Stack) -> None:
    made = pipelines.submit(order(8, "fail"))
    assert ended(made).state is State.FAILED
    operate.discard(made, by="test", client=None)
    assert pipelines.get(made).state is State.CANCELLED
    operate.pause("fast", by="test")
    (running.directory / "mended-8").touch()
    pipelines.retry(made, by="test", client=None)
    operate.move(made, "slow", by="test", client=None)
    assert ended_at_pack(made).steps[0].queue == "slow"
    operate.resume("fast")
    assert ended(made).state is State.SUCCEEDED


def ended_at_pack(made: str) -> Pipeline:
    """The pipeline, once its last step waits."""
    until(lambda: pipelines.get(made).steps[2].state is not None)
    return pipelines.get(made)


def test_what_an_older_version_ended_is_shown_as_stopped_and_goes_on_once(running: Stack) -> None:
    operate.pause("fast", by="test")
    made = pipelines.submit(order(9))
    with database.transaction() as session:
        ends = {"state": State.SUCCEEDED, "ended_at": database.now(), "result": {"did": ["by the old one"]}}
        session.execute(update(Job).where(Job.id == made).values(ends))
    found = pipelines.get(made)
    assert (found.state, found.ended, states(found)) == ("failed", True, ["succeeded", None, None])

    def go_on(_: int) -> None:
        # Whoever looks later finds the next step waiting.
        with suppress(WrongState):
            pipelines.retry(made, by="test", client=None)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(go_on, range(8)))
    operate.resume("fast")
    found = ended(made)
    assert (found.state, [len(running.effects(step.id)) for step in found.steps]) == ("succeeded", [0, 1, 1])
    assert did(running, found) == ["by the old one", *TASKS[1:]]


def test_a_task_that_is_gone_when_its_turn_comes_undoes_nothing(running: Stack) -> None:
    made = pipelines.submit(order(10)[:2])
    with database.transaction() as session:
        row = session.get(Job, made)
        assert row is not None
        assert row.steps is not None
        row.steps = [row.steps[0], row.steps[1] | {"kwargs": {"older": 1}}]
    found = ended(made)
    assert [(step.state, step.error) for step in found.steps] == [("succeeded", None), ("failed", "arguments")]
    assert running.effects(made) == [1]


def test_a_step_is_found_by_any_of_its_jobs_also_when_others_were_purged(running: Stack) -> None:
    made = pipelines.submit(order(11))
    found = ended(made)
    assert pipelines.get(found.steps[2].id) == found
    with database.transaction() as session:
        session.delete(session.get(Job, made))
    with pytest.raises(PipelineNotFound):
        pipelines.get(made)
    left = pipelines.get(found.steps[2].id)
    assert (left.id, left.state, states(left)) == (made, "succeeded", ["succeeded"] * 3)
    with pytest.raises(PipelineNotFound, match="purged"):
        pipelines.before(found.steps[1].id)
    assert pipelines.before(found.steps[2].id) == running.job(found.steps[1].id).result


def test_a_task_of_a_pipeline_is_a_job_by_itself_too(running: Stack) -> None:
    (done,) = running.ended(running.submit("errands.pack", order=18).id)
    assert (done.state, done.result) == (State.SUCCEEDED, {"order": 18, "did": ["errands.pack"]})


def test_by_command(running: Stack) -> None:
    made = pipelines.submit(order(14, "succeed", "fail"))
    assert ended(made).state is State.FAILED
    assert answer(running, "pipelines", "show", made) == pipelines.get(made).shown()
    table = command(running, "pipelines", "show", made)
    assert [line.split()[1] for line in table.stdout.splitlines()[-3:]] == list(TASKS)
    assert answer(running, "jobs", "show", made)["pipeline_id"] == made
    (running.directory / "mended-14").touch()
    assert answer(running, "pipelines", "retry", made)["id"] == made
    assert ended(made).state is State.SUCCEEDED
    refused = command(running, "pipelines", "cancel", made)
    assert (refused.returncode, "got: succeeded" in refused.stderr) == (1, True)
    unknown = command(running, "pipelines", "show", database.new_id())
    assert (unknown.returncode, unknown.stderr.split()[0]) == (1, "No")

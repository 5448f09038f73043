"""Aggregation on real workers: up to ten at once, or what there is, and each with an end of its own."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from service import database
from service.jobs import Job, State, operate, query, submit
from service.jobs.model import Task
from tests.support.stack import Stack, until


@pytest.fixture(autouse=True)
def _fresh(running: Stack) -> None:
    (running.directory / "rounds").unlink(missing_ok=True)


def rounds(stack: Stack) -> list[int]:
    """Of how many jobs each call was."""
    path = stack.directory / "rounds"
    return [len(line.split()) - 2 for line in path.read_text().splitlines()] if path.exists() else []


def orders(*items: Mapping[str, Any], task: str = "rounds.carry") -> list[Job]:
    """Order these at once, so that no busy machine comes between them."""
    with database.transaction() as session:
        return [submit(task, item, session=session) for item in items]


def ten(task: str = "rounds.carry", **fourth: Any) -> list[Job]:
    """Order ten, of which one is different."""
    items = [{"order": number} if task == "rounds.carry" else {"seconds": 0} for number in range(10)]
    items[4] |= fourth
    return orders(*items, task=task)


def results(done: list[Job]) -> list[int]:
    """With how many each of them went."""
    return [row.result["together"] for row in done if row.result is not None]


def test_ten_go_at_once(running: Stack) -> None:
    # They would wait for a minute.
    done = running.ended(*(row.id for row in ten("rounds.haul")))
    assert (rounds(running), {row.result for row in done}) == ([10], {10})
    for row in done:
        assert (row.state, row.carried_by, running.effects(row.id)) == (State.SUCCEEDED, None, [row.attempt])


def test_those_of_two_clients_do_not_go_together(running: Stack) -> None:
    with database.transaction() as session:
        clients = [("rounds.carry", {"order": number}, name) for number in range(3) for name in ("alice", "bob")]
        made = [submit(task, item, client=client, session=session) for task, item, client in clients]
    done = running.ended(*(row.id for row in made))
    assert (rounds(running), results(done)) == ([3, 3], [3] * 6)


def test_fewer_go_after_their_time(running: Stack) -> None:
    made = orders(*({"order": number} for number in range(3)))
    until(lambda: all(running.job(row.id).waiting_for == "company" for row in made))
    done = running.ended(*(row.id for row in made))
    assert (rounds(running), results(done)) == ([3], [3, 3, 3])
    first = min(done, key=lambda row: row.ended_at or row.created_at)
    assert first.ended_at is not None
    assert timedelta(seconds=2.9) < first.ended_at - made[0].created_at < timedelta(seconds=15)
    assert [row.failures for row in done] == [0, 0, 0]


def test_one_that_fails_is_retried_alone(running: Stack) -> None:
    made = ten(does="drop once")
    done = running.ended(*(row.id for row in made))
    assert ({row.state for row in done}, rounds(running)) == ({State.SUCCEEDED}, [10, 1])
    assert [row.failures for row in done] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert [len(running.attempts(row.id)) for row in done] == [1, 1, 1, 1, 2, 1, 1, 1, 1, 1]
    assert [running.effects(row.id) for row in done] == [[row.attempt] for row in done]


def test_one_that_fails_for_good_is_a_dead_letter_by_itself(running: Stack) -> None:
    made = ten(does="drop")
    done = running.ended(*(row.id for row in made))
    assert [row.state for row in done].count(State.SUCCEEDED) == 9
    assert (done[4].state, done[4].error_type, running.effects(done[4].id)) == (State.FAILED, "ValueError", [])


def test_one_that_the_call_cannot_take_is_found_among_the_others(running: Stack) -> None:
    made = ten(walk="wrong")
    done = running.ended(*(row.id for row in made))
    assert [row.state for row in done].count(State.SUCCEEDED) == 9
    assert (done[4].state, done[4].error_message) == (State.FAILED, "no such shelf")
    assert {len(running.attempts(row.id)) for row in done} == {0, 1}
    assert rounds(running) == [10] + 10 * [1]


def test_a_call_that_fails_and_may_pass_is_each_ones_failure(running: Stack) -> None:
    made = orders(*({"order": number, "walk": "closed"} for number in range(10)))
    until(lambda: all(running.job(row.id).failures == 1 for row in made))
    for row in made:
        assert (running.job(row.id).error_type, "retrying" in running.events(row.id)) == ("UpstreamError", True)
        operate.cancel(row.id, by="test", client=None)
    running.ended(*(row.id for row in made))


def test_arguments_of_another_version_are_that_jobs_alone(running: Stack) -> None:
    operate.pause("fast", by="test")
    made = ten()
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == made[4].id).values(kwargs={"number": 4}))
    operate.resume("fast")
    done = running.ended(*(row.id for row in made), seconds=60)
    assert [row.state for row in done].count(State.SUCCEEDED) == 9
    assert (done[4].state, done[4].error_type) == (State.FAILED, "arguments")
    # The call was spared it.
    assert sum(rounds(running)) == 9


def test_each_says_with_whom_it_went(running: Stack) -> None:
    made = ten()
    running.ended(*(row.id for row in made))
    said = {event.message for row in made for event in query.events(row.id, None) if event.event == "started"}
    leader = {row.id for row in made} & {message.split()[1] for message in said if message}
    assert len(leader) == 1
    assert {running.events(row.id)[-2:] == ["started", "succeeded"] for row in made} == {True}


def test_a_cancelled_one_is_left_out(running: Stack) -> None:
    (first,) = orders({"order": 0})
    until(lambda: running.job(first.id).waiting_for == "company")
    assert operate.cancel(first.id, by="test", client=None).state is State.CANCELLED
    (other,) = running.ended(*(row.id for row in orders({"order": 1})))
    assert (other.state, rounds(running)) == (State.SUCCEEDED, [1])


@pytest.mark.skipif("TEST_DATABASE_URL" not in os.environ, reason="rows are locked on PostgreSQL alone")
def test_one_that_is_cancelled_before_it_waits_does_not_wait(running: Stack) -> None:
    with database.transaction() as session:
        # Whoever decides for the task waits for this row.
        session.execute(select(Task.name).where(Task.name == "rounds.carry").with_for_update())
        (row,) = orders({"order": 0})
        until(lambda: running.job(row.id).state is State.RUNNING)
        operate.cancel(row.id, by="test", client=None)
    (done,) = running.ended(row.id)
    assert (done.state, done.attempt, running.effects(row.id)) == (State.CANCELLED, 1, [])


def test_one_that_is_cancelled_on_the_way_does_not_hold_up_the_others(running: Stack) -> None:
    made = orders(*({"seconds": 0.5} for _ in range(10)), task="rounds.haul")
    until(lambda: [running.job(row.id).state for row in made].count(State.RUNNING) == 10)
    (leader,) = [row.id for row in made if running.job(row.id).carried_by == row.id]
    others = [row.id for row in made if row.id != leader]
    operate.cancel(others[-1], by="test", client=None)
    done = {row.id: row for row in running.ended(*(row.id for row in made))}
    assert (done[others[-1]].state, running.effects(others[-1])) == (State.CANCELLED, [])
    assert running.attempts(others[-1]) == []
    assert [row.state for row in done.values()].count(State.SUCCEEDED) == 9
    assert {len(running.attempts(job_id)) for job_id in done if job_id != others[-1]} == {1}


def test_a_queue_that_is_paused_keeps_its_jobs(running: Stack) -> None:
    made = orders(*({"order": number} for number in range(3)))
    until(lambda: all(running.job(row.id).state is State.QUEUED for row in made))
    operate.pause("fast", by="test")
    until(lambda: {running.job(row.id).waiting_for for row in made} == {"pause"})
    operate.resume("fast")
    done = running.ended(*(row.id for row in made), seconds=40)
    assert sum(rounds(running)) == 3
    assert {row.failures for row in done} == {0}


def test_who_has_a_lock_goes_alone(running: Stack) -> None:
    made = [submit("rounds.carry", {"order": number}, lock_key="trolley") for number in range(3)]
    done = running.ended(*(row.id for row in made))
    assert (results(done), rounds(running)) == ([1, 1, 1], [1, 1, 1])


def test_a_batch_is_carried_and_followed(running: Stack) -> None:
    batches: Any = pytest.importorskip("service.jobs.shapes.batches")
    items = [{"order": number} for number in range(20)]
    batch = batches.submit("rounds.carry", items, then=("crowds.reduce", {"title": "all"}))
    (done,) = running.ended(batch, seconds=60)
    assert done.result is not None
    assert [result["order"] for _, result in done.result["of"]] == list(range(20))
    assert rounds(running) == [10, 10]

"""Lists of jobs: pages that hold while jobs are added, filters, and cursors that are none."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from service.database import new_id
from service.jobs import submit
from tests.contract.conftest import Make
from tests.support.waiting import until

# Jobs that are there before others are added.
BEFORE = 40


@contextmanager
def adding(make: Callable[[], object], threads: int = 3) -> Iterator[list[int]]:
    """Make jobs without a pause, on several threads, for the length of a block; gives the numbers of those made."""
    made: list[int] = []
    numbers, ended = itertools.count(), threading.Event()

    def add() -> None:
        while not ended.is_set():
            make()
            made.append(next(numbers))

    workers = [threading.Thread(target=add) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield made
    finally:
        ended.set()
        for worker in workers:
            worker.join()


def more_than(made: list[int], number: int) -> None:
    """Wait until so many were added, before the next page is asked for."""
    until(lambda: len(made) > number, every=0.01)


def pages(client: httpx.Client, **wanted: Any) -> Iterator[list[dict[str, Any]]]:
    """Every page of a list, one after the other."""
    while True:
        page = client.get("/v1/jobs", params=wanted).json()
        yield page["jobs"]
        if page["next_cursor"] is None:
            return
        wanted["cursor"] = page["next_cursor"]


def test_pages_neither_skip_nor_repeat_while_jobs_are_added(anna: httpx.Client, job: Make) -> None:
    """Whoever follows next_cursor sees each job that was there, once, and in order."""
    before = [job() for _ in range(BEFORE)]
    seen: list[str] = []
    with adding(job) as made:
        for page in pages(anna, limit=3, state="queued", task="trials.sleep", queue="slow"):
            seen += [entry["id"] for entry in page]
            if set(before) <= set(seen):
                break
            more_than(made, len(made) + 1)
    assert len(made) >= BEFORE / 3
    assert set(before) <= set(seen)
    assert seen == sorted(set(seen), reverse=True)


def test_filters_hold_together(anna: httpx.Client, operator: httpx.Client, job: Make) -> None:
    """Each filter narrows the list, and all of them together."""
    waits, moved, cancelled = job(), job(), job()
    operator.post(f"/v1/jobs/{moved}/move", json={"queue": "fast"})
    anna.post(f"/v1/jobs/{cancelled}/cancel")
    mine = {waits, moved, cancelled}
    for wanted, expected in (
        ({"state": "queued"}, {waits, moved}),
        ({"state": "cancelled"}, {cancelled}),
        ({"queue": "fast"}, {moved}),
        ({"task": "trials.sleep"}, mine),
        ({"task": "trials.slee"}, set()),
        ({"state": "cancelled", "queue": "fast"}, set()),
        ({"state": "queued", "queue": "slow", "task": "trials.sleep"}, {waits}),
    ):
        listed = anna.get("/v1/jobs", params={"limit": 200, **wanted}).json()["jobs"]
        assert {entry["id"] for entry in listed} & mine == expected, wanted


def test_the_last_page_says_so(anna: httpx.Client, job: Make) -> None:
    """A list that fills its last page has no empty one after it."""
    oldest = min(entry["id"] for page in pages(anna, limit=200) for entry in page)
    alone = anna.get("/v1/jobs", params={"limit": 1, "cursor": oldest}).json()
    assert alone == {"jobs": [], "next_cursor": None}


def test_a_page_has_a_maximum(anna: httpx.Client, job: Make) -> None:
    """201 jobs are not on one page, and nobody can ask for it."""
    for _ in range(201):
        submit("trials.sleep", {"seconds": 60}, client="shop")
    assert len(anna.get("/v1/jobs", params={"limit": 200}).json()["jobs"]) == 200
    assert len(anna.get("/v1/jobs").json()["jobs"]) == 50
    assert anna.get("/v1/jobs", params={"limit": 201}).status_code == 400


def test_a_cursor_is_a_place_and_opens_nothing(anna: httpx.Client, bert: httpx.Client, job: Make) -> None:
    """With the id of another client's job, or one that never was, the list goes on at that place with one's own."""
    theirs = job()
    mine = submit("trials.sleep", {"seconds": 60}, client="crm").id
    # Ids of one millisecond have no order among them.
    while (later := new_id())[:13] <= mine[:13]:
        pass
    for cursor in (later, later.upper()):
        assert mine in {entry["id"] for entry in bert.get("/v1/jobs", params={"cursor": cursor}).json()["jobs"]}
    behind = bert.get("/v1/jobs", params={"cursor": theirs}).json()["jobs"]
    assert {entry["client"] for entry in behind} <= {"crm"}
    assert mine not in {entry["id"] for entry in behind}


@pytest.mark.parametrize(
    "cursor", ["", "0", "nonsense", "%00", "' OR 1=1", "01970c2e5a7b7c3d8e9f0a1b2c3d4e5f", "-" * 36]
)
def test_a_cursor_that_is_none(anna: httpx.Client, cursor: str) -> None:
    """What is no UUID is refused by its name."""
    refused = anna.get("/v1/jobs", params={"cursor": cursor})
    assert (refused.status_code, refused.json()["field"]) == (400, "cursor")

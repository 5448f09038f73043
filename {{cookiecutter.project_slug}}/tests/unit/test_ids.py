"""Ids of jobs sort by the time they were made."""

import time
from uuid import UUID

from service.database import new_id


def test_an_id_is_a_uuid_of_version_7_and_sorts_after_older_ones() -> None:
    first = new_id()
    time.sleep(0.002)
    second = new_id()
    assert first < second
    assert UUID(first).version == 7
    assert UUID(first).variant == "specified in RFC 4122"


def test_no_two_ids_are_the_same() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_ids_that_one_process_makes_stand_in_the_order_of_their_making() -> None:
    made = [new_id() for _ in range(1000)]
    assert made == sorted(made)

"""The wait between attempts grows, is capped, and is never nothing."""

import pytest

from service.queues import QUEUES

QUEUE = QUEUES["fast"]


@pytest.mark.fault("S16", "gaps of 1.0, 2.0, 0.01 and 6.0 s")
def test_half_of_the_wait_is_fixed_and_half_is_jitter() -> None:
    draws = sorted(QUEUE.wait(3) for _ in range(1000))
    full = QUEUE.backoff * 4
    assert full / 2 <= draws[0] < full * 0.55
    assert full * 0.95 < draws[-1] <= full


def test_the_wait_stops_growing_at_the_cap() -> None:
    assert QUEUE.backoff_cap / 2 <= QUEUE.wait(10_000) <= QUEUE.backoff_cap

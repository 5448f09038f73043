"""Holding a body against its schema costs about as much memory as the body has bytes."""

import tracemalloc

from service.api.validation import ECHO, strings


def test_a_long_key_is_not_kept_once_for_each_item_below_it() -> None:
    body = {"k" * 60_000: [0] * 20_000 + ["x"]}
    tracemalloc.start()
    try:
        found = list(strings(body))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [text for _, text in found] == ["k" * 60_000, "x"]
    assert max(len(path) for path, _ in found) == ECHO + 1
    assert peak < 20_000_000

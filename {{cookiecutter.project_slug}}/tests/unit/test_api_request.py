"""What the log shows of a path."""

import pytest

from service.api.request import MAX_PARTS, shown

ID = "0197a2b4-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (f"/v1/jobs/{ID}/events", f"/v1/jobs/{ID}/events"),
        ("/v1/jobs/a-secret", "/v1/jobs/…"),
        ("/docs/x", "/docs/…"),
    ],
)
def test_the_log_shows_of_a_path_what_the_specification_has(path: str, seen: str) -> None:
    """Anything else may be a token in the wrong place."""
    assert shown(path) == seen


def test_a_path_without_end_is_not_taken_apart_to_its_end() -> None:
    """A path of 16 KB cost eight times what a short one does."""
    assert shown("/v1" + "/jobs" * 3000) == "/v1" + "/jobs" * (MAX_PARTS - 2) + "/…"

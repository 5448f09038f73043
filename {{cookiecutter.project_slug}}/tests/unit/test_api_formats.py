"""The formats of the specification."""

from datetime import UTC, datetime

import pytest

from service.api.formats import FORMATS, moment


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uuid", "01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f"),
        ("uuid", "01970C2E-5A7B-7C3D-8E9F-0A1B2C3D4E5F"),
        ("date-time", "2030-01-31T09:30:00Z"),
        ("date-time", "2030-01-31t09:30:00.123456789z"),
        ("date-time", "2030-01-31T09:30:00-23:59"),
        ("uri", "https://example.com/a?b=c#d"),
        ("uri", "http://user@[::1]:8080/"),
        ("uri", "urn:problem-type:wrong-state"),
    ],
)
def test_takes(kind: str, value: str) -> None:
    """What the standards allow is taken."""
    assert FORMATS.conforms(value, kind)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uuid", "01970c2e5a7b7c3d8e9f0a1b2c3d4e5f"),
        ("uuid", "urn:uuid:01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f"),
        ("uuid", "01970c2e-5a7b-7c3d-8e9f-0a1b2c3d4e5f\n"),
        ("date-time", "2030-01-31T09:30:00"),
        ("date-time", "2030-01-31 09:30:00Z"),
        ("date-time", "2030-01-31T09:30Z"),
        ("date-time", "2030-02-29T09:30:00Z"),
        ("date-time", "2030-01-31T24:30:00Z"),
        ("date-time", "2030-01-31T09:30:00+24:00"),
        ("date-time", "0001-01-01T00:00:00+01:00"),
        ("date-time", "٢٠٣٠-01-31T09:30:00Z"),
        ("uri", "/relative"),
        ("uri", "http://"),
        ("uri", "http://a b/"),
        ("uri", "http://a:x/"),
        ("uri", "http://[::1"),
        ("uri", "http://ümlaut.example/"),
        ("uri", "http://a/\n"),
    ],
)
def test_refuses(kind: str, value: str) -> None:
    """What they do not allow is refused, without an exception."""
    assert not FORMATS.conforms(value, kind)


@pytest.mark.parametrize("value", [None, 17, [], {}])
def test_leaves_other_types_alone(value: object) -> None:
    """A format is about strings; the type is another rule's business."""
    assert all(FORMATS.conforms(value, kind) for kind in ("uuid", "date-time", "uri"))


def test_moment_is_in_utc() -> None:
    """A moment is the same one in any zone."""
    assert moment("2030-01-31T09:30:00+02:00") == datetime(2030, 1, 31, 7, 30, tzinfo=UTC)

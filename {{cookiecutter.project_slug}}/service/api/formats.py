"""The formats that `openapi.yaml` names; JSON Schema leaves them unchecked unless told how."""

import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

from jsonschema import FormatChecker

FORMATS = FormatChecker(formats=())

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
# What RFC 3986 allows in a URI; a port, a host and the rest are looked at apart.
URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


@FORMATS.checks("uuid")
def is_uuid(value: object) -> bool:
    """A UUID as RFC 9562 writes it; Python's own parser also takes braces, URNs and no hyphens."""
    return not isinstance(value, str) or UUID.fullmatch(value) is not None


@FORMATS.checks("date-time", raises=(ValueError, OverflowError))
def is_date_time(value: object) -> bool:
    """A moment with its zone (RFC 3339)."""
    return not isinstance(value, str) or moment(value) is not None


@FORMATS.checks("uri", raises=ValueError)
def is_uri(value: object) -> bool:
    """An absolute URI (RFC 3986); one that has an authority has a host in it."""
    if not isinstance(value, str):
        return True
    parts = urlsplit(value)
    authority = value[len(parts.scheme) :].startswith("://")
    return bool(URI.fullmatch(value) and parts.scheme and (parts.hostname or not authority) and parts.port != 0)


def moment(text: str) -> datetime | None:
    """The moment in UTC that `text` names, None if it is no RFC 3339.

    Raises:
        ValueError, OverflowError: there is no such day or hour, or it is outside the calendar.
    """
    return datetime.fromisoformat(text.upper()).astimezone(UTC) if DATE_TIME.fullmatch(text) else None

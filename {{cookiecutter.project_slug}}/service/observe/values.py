"""What may be seen of a value: of the fields in this list its text, of all others their type and size."""

import math
import re
from typing import Any

from service import NAME

# A field that is not here was not meant to be seen; whoever adds one has thought of what it may hold.
SHOWN = {
    *("timestamp", "level", "logger", "event", "exception", "where"),
    *("service", "version", "environment", "role", "process"),
    *("request_id", "job_id", "task", "queue", "attempt", "client", "token_name", "dd.trace_id", "dd.span_id"),
    # In seconds, wherever they are.
    *("duration", "grace"),
    *("method", "path", "status", "peer", "address", "host", "requests", "waiting_jobs"),
    # The class of an error, and what the service's own code says of a fault; never an error's own words.
    *("error", "cause", "reason", "fault", "faults", "category"),
    *("entry", "entries", "due", "position", "last_day", "count", "size", "step"),
}

# Characters of one value that are shown, and of a name; values in a list; and the number from which one has no end.
MAX_TEXT = 1000
MAX_NAME = 64
MAX_PARTS = 20
MAX_INTEGER = 2**63

# Bytes of a line of a job's history; and what opens a door, wherever it stands: passwords in URLs, tokens, keys.
MAX_LINE = 8 * 1024
KEYS = re.compile(
    r"(?<=://)[^/\s@]+(?=@)|(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{8,}|\bwhsec_[\w+/=]+|"
    + re.escape(NAME)
    + r"_[\w-]{43}|(?i:(?<=password=)|(?<=token=)|(?<=secret=)|(?<=key=))[^&\s]+"
)

SIZED: tuple[Any, ...] = (str, bytes, bytearray, memoryview, list, tuple, set, frozenset, dict)


def shown(name: str, value: Any) -> Any:
    """What a log line or an error event holds of this field; no code of the value's own is called."""
    if name not in SHOWN:
        return shape(value)
    return [_plain(part) for part in value[:MAX_PARTS]] if type(value) in {list, tuple} else _plain(value)


def shape(value: object) -> str:
    """The type of a value and how much of it there is."""
    kind = type(value)
    size = next((f"[{sized.__len__(value)}]" for sized in SIZED if issubclass(kind, sized)), "")
    return text(kind.__name__, MAX_NAME) + size


def text(value: str, limit: int = MAX_TEXT) -> str:
    """Text as any reader can take it: whole characters, and a mark where it was cut."""
    plain = str.__str__(value)
    if len(plain) > limit:
        plain = f"{plain[:limit]}… (cut, of {len(plain)})"
    return plain.encode(errors="backslashreplace").decode()


def masked(message: str) -> str:
    """What a job's own history keeps of a line, for those who may read the job: all but what opens a door."""
    plain = KEYS.sub("…", text(message.replace("\x00", "\\x00"), MAX_LINE))
    return plain if len(plain.encode()) <= MAX_LINE else plain.encode()[:MAX_LINE].decode(errors="ignore") + "… (cut)"


def _plain(value: Any) -> Any:
    kind = type(value)
    if issubclass(kind, str):
        return text(value)
    if kind is float:
        return value if math.isfinite(value) else repr(value)
    if kind is int and abs(value) < MAX_INTEGER:
        return value
    return value if value is None or kind is bool else shape(value)

"""The service without its allow-list: what a test plants comes to light then, or the test looks in the wrong place."""

import traceback
from typing import Any

from service.observe import errors, exceptions, logs, strays


def open_books() -> None:
    """Show everything, in this process and those forked from it."""
    instead: list[tuple[Any, str, Any]] = [
        (exceptions, "describe", lambda error: "".join(traceback.format_exception(error))),
        (logs, "shown", lambda _, value: repr(value)),
        (logs, "shape", repr),
        (logs, "_speaks", lambda _: True),
        (errors, "scrub", lambda event, _: event),
        (strays, "ABOUT_CODE", (Warning,)),
        (strays.Printed, "write", _write),
    ]
    for place, name, what in instead:
        setattr(place, name, what)


def _write(_: Any, text: str) -> int:
    strays.log.warning("printed", text=text)
    return len(text)

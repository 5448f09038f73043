"""The service without its allow-list: what a test plants comes to light then, or the test looks in the wrong place."""

import traceback
from typing import Any

from service.observe import errors, exceptions, logs, strays


def open_books() -> None:
    """Show everything, in this process and those forked from it."""
    exceptions.describe = lambda error: "".join(traceback.format_exception(error))
    for module in (logs, errors):
        module.shown = lambda _, value: repr(value)  # type: ignore[attr-defined]
    logs.shape = repr
    logs._speaks = lambda _: True
    errors.scrub = lambda event, _: event
    strays.ABOUT_CODE = (Warning,)  # type: ignore[assignment]
    strays.Printed.write = _write  # type: ignore[method-assign]


def _write(_: Any, text: str) -> int:
    strays.log.warning("printed", text=text)
    return len(text)

"""What would go past the logs: printed text, warnings, and errors that nobody caught; each becomes a line of them."""

import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any

import structlog

log = structlog.get_logger()

# What these and Celery's own say is about code and settings; a warning of any other kind may be about data.
ABOUT_CODE = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


class Printed:
    """In place of standard output and error: what is printed is no event, and may be anything, so it is counted.

    It has no `fileno`: Celery, told to stop, writes past it where it has one, and does not stop where that raises.
    """

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Say that something was printed, how much, and where."""
        if text.strip():
            caller = sys._getframe(1)
            where = f"{caller.f_globals.get('__name__')}:{caller.f_lineno}"
            log.warning("printed, which is not shown; use a logger", where=where, size=len(text))
        return len(text)

    def flush(self) -> None:
        """There is nothing to wait for."""

    def isatty(self) -> bool:
        """It is not one."""
        return False


def catch(*, printed: bool) -> None:
    """Send what would go past the logs through them, from now on; `printed` includes the standard streams."""
    sys.excepthook = _uncaught
    sys.unraisablehook = lambda stray: log.error("error that could not be raised", exc_info=stray.exc_value)
    threading.excepthook = lambda stray: log.error("thread ended by an error", exc_info=stray.exc_value)
    # Celery captures warnings too: once they are captured that changes nothing.
    logging.captureWarnings(True)
    warnings.showwarning = _warned
    if printed:
        # Celery writes past `sys.stdout`, to the streams that Python began with.
        streams: Any = Printed()
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = streams  # type: ignore[misc]


def _uncaught(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log.critical("process ended by an error", exc_info=error)


def _warned(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
    said = str(message) if issubclass(category, ABOUT_CODE) or category.__module__ == "celery.exceptions" else None
    log.warning("warning", category=category.__name__, where=f"{filename}:{lineno}", reason=said)

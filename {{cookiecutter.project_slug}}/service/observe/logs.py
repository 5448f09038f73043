"""Logs: one JSON line for each event on standard output, whoever wrote it; plain text on a terminal."""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from service import NAME
from service.config import Settings
from service.observe import errors, exceptions, strays, traces
from service.observe.pipe import Pipe
from service.observe.values import MAX_NAME, shape, shown, text

# Bytes of one line: what a pipe takes in one piece, so that lines of several processes do not mingle (POSIX, PIPE_BUF).
MAX_LINE = 4096
MAX_FIELDS = 50

# What is left of a line that has too much of everything.
ESSENTIAL = ("timestamp", "level", "event", "logger", "service", "version", "environment", "role", "job_id", "task")

# Whose text is shown as it stands. A library's is shown where it is apart from its arguments, which may be payload.
SPEAKING = {"service", "uvicorn"}

# Roles whose output is theirs alone; a command's is its answer.
SERVING = ("api", "worker", "beat")

# Libraries that tell of each message or call, which the service's own lines do already.
QUIET = ("alembic", "connexion", "celery.app.trace", "celery.worker.strategy", "httpcore", "httpx", "kombu")
# Loggers that Celery gives an output of their own, unless they have one.
POOL = "multiprocessing"
APART = (POOL, "celery.task")

# Seconds, at the end of a process, for lines that are not written yet.
FLUSH_SECONDS = 1.0


def configure(settings: Settings, role: str, stream: TextIO | None = None) -> None:
    """Send every line of this process, libraries' too, through one formatter to `stream` or standard output."""
    stream = stream or sys.stdout
    fields = {"service": NAME, "version": settings.service_version, "environment": settings.environment, "role": role}
    std, merge = structlog.stdlib, structlog.contextvars.merge_contextvars
    steps: Any = [std.filter_by_level, merge, std.ProcessorFormatter.wrap_for_formatter]
    structlog.configure(steps, std.BoundLogger, logger_factory=std.LoggerFactory(), cache_logger_on_first_use=True)
    handler = Handler(stream.fileno(), _pretty if stream.isatty() else lambda event: line(event | fields))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in APART:
        logging.getLogger(name).handlers[:] = [handler]
        logging.getLogger(name).propagate = False
    strays.catch(printed=role.startswith(SERVING))


class Shape(str):
    """The type and size of a value where a library's text has it."""

    __repr__ = str.__str__


class Handler(logging.Handler):
    """The one way out; it raises nothing, whatever it is given, and waits for nobody."""

    def __init__(self, descriptor: int, render: Callable[[dict[str, object]], bytes]) -> None:
        super().__init__()
        self._render = render
        self._pipe = Pipe(descriptor, self._lost)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, and tell of an error."""
        if sys.is_finalizing():
            # What its last objects say: there are no threads any more, and to start one would wait for ever.
            return
        try:
            event, error = seen(record)
            made = self._render(event)
        except Exception as fault:
            event, error = _event("log line not to be written", "error", record.name), None
            made = self._render(event | {"error": type(fault).__name__})
        self._pipe.put(made)
        # What the pool says of a child that died is no error yet: its job runs again, or becomes a dead letter.
        if record.levelno >= logging.ERROR and (error or _speaks(record)) and record.name != POOL:
            errors.report(event, error)

    def flush(self) -> None:
        """At the end of the process, which may not have long."""
        self._pipe.flush(FLUSH_SECONDS)

    def _lost(self, count: int) -> bytes:
        return self._render(_event("log lines lost, nobody read them", "error", __name__) | {"count": count})


def seen(record: logging.LogRecord) -> tuple[dict[str, object], BaseException | None]:
    """What may be seen of a record, and the exception that it came with."""
    own = isinstance(record.msg, dict)
    given = dict(record.msg) if isinstance(record.msg, dict) else structlog.contextvars.get_contextvars()
    given |= traces.ids()
    error = _exception(given.pop("exc_info", None) or record.exc_info)
    said = given.pop("event", "") if own else _said(record)
    if not _speaks(record) and (own or not record.args):
        # It was made at run time, of whatever it is about.
        said = f"{shape(said)} at {record.module}:{record.lineno}"
    event = _event(said, record.levelname.lower(), record.name, record.created)
    for name in list(given)[:MAX_FIELDS]:
        if isinstance(name, str) and name.replace(".", "_").isidentifier():
            event.setdefault(text(name, MAX_NAME), shown(name, given[name]))
    if error is not None:
        event["exception"] = exceptions.describe(error)
    return event, error


def line(event: Mapping[str, object]) -> bytes:
    """The event as one line of JSON, its values cut until it fits."""
    for limit in (MAX_LINE, 300, 60):
        cut = {name: _cut(value, 2 * limit if name == "exception" else limit) for name, value in event.items()}
        made = json.dumps(cut, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if len(made) <= MAX_LINE:
            return made
    few = {name: cut[name] for name in ESSENTIAL if name in cut}
    return json.dumps(few | {"count": len(event)}, separators=(",", ":")).encode() + b"\n"


def _event(said: object, level: str, logger: str, at: float | None = None) -> dict[str, object]:
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    said = text(said) if isinstance(said, str) else shape(said)
    timestamp = moment.isoformat().replace("+00:00", "Z")
    return {"timestamp": timestamp, "level": level, "event": said, "logger": logger}


def _speaks(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in SPEAKING


def _said(record: logging.LogRecord) -> object:
    """A library's text, with what was put into it as type and size; numbers are no payload."""
    if not (args := record.args) or not isinstance(record.msg, str):
        return record.msg
    put = {name: _put(each) for name, each in args.items()} if isinstance(args, dict) else tuple(map(_put, args))
    try:
        return record.msg % put
    except Exception:
        return record.msg


def _put(value: object) -> object:
    return value if type(value) in {int, float} else Shape(shape(value))


def _exception(given: Any) -> BaseException | None:
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    return error if isinstance(error, BaseException) else None


def _cut(value: object, limit: int) -> object:
    if isinstance(value, list):
        return [_cut(part, limit) for part in value]
    return f"{value[:limit]}… (cut)" if isinstance(value, str) and len(value) > limit else value


def _pretty(event: dict[str, object]) -> bytes:
    return structlog.dev.ConsoleRenderer()(None, "", dict(event)).encode() + b"\n"

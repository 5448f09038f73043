"""What may be seen of an exception: its class and where it passed, and its words where they are the service's own."""

from collections import deque
from collections.abc import Iterator
from types import TracebackType

from service.observe.values import text

# Their messages are made of the service's own words, or are about code; any other's may repeat an argument or a row.
SPEAKING = {
    *("ImportError", "ModuleNotFoundError", "SyntaxError"),
    "service.config.WrongSettings",
    *("service.errors.PolicyError", "service.errors.StartRefused", "service.errors.StoreUnavailable"),
    *("service.errors.AttemptLost", "service.errors.JobCancelled", "service.errors.WrongState"),
}

# How many exceptions of a chain are told of, how many places of each, and how many characters of a message.
MAX_CHAIN = 5
MAX_PLACES = 12
MAX_MESSAGE = 500


def describe(error: BaseException) -> str:
    """The exception and what caused it, each with its innermost places, a line each."""
    lines: list[str] = []
    for at, each in enumerate(_chain(error)):
        words = f": {text(str(each), MAX_MESSAGE)}" if name(each) in SPEAKING else ""
        lines.append(f"{'caused by ' if at else ''}{name(each)}{words}")
        lines += deque((f"  {place}" for place in _places(each.__traceback__)), MAX_PLACES)
    return "\n".join(lines)


def name(error: BaseException) -> str:
    """The class, with its module where that is not Python's own."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and not any(each is error for each in found) and len(found) < MAX_CHAIN:
        found.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def _places(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next

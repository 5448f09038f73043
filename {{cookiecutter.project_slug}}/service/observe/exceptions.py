"""What may be seen of an exception: its class and where it passed, and its words where they are the service's own."""

from collections import deque
from traceback import walk_tb

from service.observe.values import text

# Their messages are made of the service's own words, or are about code; any other's may repeat an argument or a row.
_ours = ("PolicyError", "StartRefused", "StoreUnavailable", "AttemptLost", "JobCancelled", "WrongState")
SPEAKING = {"ImportError", "ModuleNotFoundError", "SyntaxError", "service.config.WrongSettings"}
SPEAKING |= {f"service.errors.{kind}" for kind in _ours}

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
        for frame, number in deque(walk_tb(each.__traceback__), MAX_PLACES):
            lines.append(f"  {frame.f_globals.get('__name__')}:{number} {frame.f_code.co_name}")
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

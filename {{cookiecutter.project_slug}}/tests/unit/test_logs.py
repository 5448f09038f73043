"""Log lines: whatever is logged is one line of JSON, bounded, and shows what is in the list alone."""

import ast
import json
import logging
import os
import pkgutil
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from celery.exceptions import SecurityWarning

import service
from service.errors import PolicyError
from service.observe import exceptions, logs, strays
from service.observe.logs import MAX_LINE, Handler
from service.observe.pipe import BACKLOG, Pipe
from service.observe.values import SHOWN

SECRET = "s3cr3t"


class Rude:
    """It lets nobody look at it."""

    def __repr__(self) -> str:
        raise RuntimeError(SECRET)

    __str__ = __repr__

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError(SECRET)

    def __len__(self) -> int:
        raise RuntimeError(SECRET)


class RudeError(Exception):
    """It has no words."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError(SECRET)

    __hash__ = None  # type: ignore[assignment]


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

# What is given and what is shown of it, by a name: some of them nobody may print, a test's own name included.
VALUES: dict[str, tuple[Any, Any]] = {
    "bytes": (b"\xff\x00", "bytes[2]"),
    "surrogate": ("\ud800 half of a pair", "\\ud800 half of a pair"),
    "large": ("x" * 1024 * 1024, "x" * 1000 + "… (cut, of 1048576)"),
    "nan": (float("nan"), "nan"),
    "infinity": (float("-inf"), "-inf"),
    "integer": (10**6000, "int"),
    "cycle": (CYCLE, ["list[1]"]),
    "dict": ({"key": SECRET}, "dict[1]"),
    "rude": (Rude(), "Rude"),
    "rude part": ([Rude(), "a"], ["Rude", "a"]),
    "bool": (True, True),
    "none": (None, None),
    "float": (0.5, 0.5),
    "lines": ("line\nbreak", "line\nbreak"),
}

SAID: dict[str, Any] = {
    "bytes": b"bytes",
    "rude": Rude(),
    "cycle": CYCLE,
    "none": None,
    "surrogate": "\udcff",
    "large": "x" * 1024 * 1024,
    "zeros": "\x00" * 5000,
}

Write = Callable[..., dict[str, Any]]


@pytest.fixture
def write() -> Iterator[Write]:
    """Log one thing; gives its line."""
    reader, writer = os.pipe()
    handler = Handler(writer, lambda event: logs.line(event | {"service": "test"}))

    def log(said: Any, *args: Any, logger: str = "service.test", **fields: Any) -> dict[str, Any]:
        made = logging.Logger(logger)
        made.addHandler(handler)
        if fields or not args:
            proxy = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
            wrapped, extra = proxy(made, "error", {"event": said, **fields})
            made.error(*wrapped, **extra)  # type: ignore[arg-type]
        else:
            made.error(said, *args)
        handler.flush()
        line = os.read(reader, 1024 * 1024)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert len(line) <= MAX_LINE
        read: dict[str, Any] = json.loads(line)
        return read

    yield log
    for end in (reader, writer):
        os.close(end)


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_of_any_kind_makes_a_line(write: Write, kind: str) -> None:
    given, shown = VALUES[kind]
    line = write("something happened", reason=given, hidden=given)
    assert line["reason"] == shown
    assert line["hidden"] is None or "[" in line["hidden"] or line["hidden"].isidentifier()
    assert SECRET not in str(line)


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("logger", ["service.test", "library"])
def test_anything_can_be_what_happened(write: Write, kind: str, logger: str) -> None:
    said = SAID[kind]
    assert isinstance(write(said, logger=logger)["event"], str)
    assert isinstance(write("%s and %d", said, said, logger=logger)["event"], str)


def test_too_much_of_everything_is_cut_to_one_line(write: Write) -> None:
    line = write("\x00" * 500, **{f"field_{i}": "x" for i in range(500)}, reason="\x01" * 9000, cause="🙂" * 9000)
    assert line["service"] == "test"
    assert write("short", **{f"f{i}" * 20: i for i in range(60)}, faults=["\x01" * 900] * 30)["event"] == "short"


def test_a_field_that_is_not_listed_is_a_type_and_a_size(write: Write) -> None:
    line = write("something happened", url=f"https://{SECRET}@host/", job_id="1", **{f"not a name {SECRET}": 1})
    assert (line["url"], line["job_id"]) == ("str[20]", "1")
    assert SECRET not in str(line)


def test_a_librarys_text_is_shown_and_what_it_put_into_it_is_not(write: Write) -> None:
    assert write("sent %s to %r, %d bytes", SECRET, [SECRET], 3, logger="library")["event"] == (
        "sent str[6] to list[1], 3 bytes"
    )
    assert write("sent %(what)s", {"what": SECRET}, logger="library")["event"] == "sent str[6]"
    assert write(f"sent {SECRET}", logger="library")["event"].startswith("str[11] at test_logs:")
    assert SECRET not in str(write("%d", SECRET, logger="library"))


def test_an_exception_is_its_class_and_where_it_passed(write: Write) -> None:
    def fail() -> None:
        hidden = SECRET
        try:
            int(hidden)
        except ValueError as error:
            raise KeyError(hidden) from error

    with pytest.raises(KeyError) as caught:
        fail()
    said = write("it failed", exc_info=caught.value)["exception"]
    assert said.splitlines()[0] == "KeyError"
    assert f"{__name__}:" in said
    assert "caused by ValueError" in said
    assert SECRET not in said


def test_an_exception_may_be_rude_deep_or_its_own_cause() -> None:
    rude = RudeError(SECRET)
    rude.__cause__ = other = RudeError()
    other.__cause__ = rude
    assert exceptions.describe(rude).splitlines() == [f"{__name__}.RudeError", f"caused by {__name__}.RudeError"]

    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    assert len(exceptions.describe(caught.value)) < MAX_LINE


def test_the_services_own_refusals_keep_their_words() -> None:
    names = {name if "." in name else f"builtins.{name}" for name in exceptions.SPEAKING}
    assert all(issubclass(pkgutil.resolve_name(name), Exception) for name in names)
    assert "expected a limit" in exceptions.describe(PolicyError("expected a limit, got: none"))


def test_every_field_that_the_service_logs_is_in_the_list() -> None:
    for path in Path(service.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                of = call.func.value
                if isinstance(of, ast.Name) and of.id == "log":
                    fields = {each.arg for each in call.keywords if each.arg} - {"exc_info"}
                    assert fields <= SHOWN, f"{path.name}:{call.lineno}: {fields - SHOWN}; add it to values.SHOWN"


def test_nobody_waits_for_a_reader_that_stopped_and_what_was_lost_is_counted() -> None:
    reader, writer = os.pipe()
    pipe = Pipe(writer, lambda count: b"lost %d\n" % count)
    lines = 3 * BACKLOG
    for number in range(lines):
        pipe.put(b"%d %s\n" % (number, b"x" * 100))
    assert not pipe.flush(0.1)
    read = b""
    while not (read.endswith(b"\n") and b"last" in read):
        if not select.select([reader], [], [], 0.2)[0]:
            pipe.put(b"last\n")
        read += os.read(reader, 65536)
    words = [line.split() for line in read.splitlines() if line != b"last"]
    lost = [int(count) for word, count in words if word == b"lost"]
    assert sum(lost) > 0
    assert len(words) - len(lost) + sum(lost) == lines


def test_a_reader_that_is_gone_ends_nobody() -> None:
    reader, writer = os.pipe()
    pipe = Pipe(writer, lambda count: b"lost %d\n" % count)
    os.close(reader)
    pipe.put(b"nobody reads this\n")
    assert pipe.flush(5)


# Says something, and is killed in the same breath.
DEADLY = (
    "import os, sys\nfrom service.observe.pipe import Pipe\n"
    "Pipe(1, lambda count: b'lost').put(b'its last words')\nos.kill(os.getpid(), 9)"
)


def test_a_process_that_is_killed_has_said_what_it_said(tmp_path: Path) -> None:
    for _ in range(10):
        assert subprocess.run([sys.executable, "-c", DEADLY], stdout=subprocess.PIPE).stdout == b"its last words"
    with (tmp_path / "log").open("w+b") as log:
        subprocess.run([sys.executable, "-c", DEADLY], stdout=log)
    assert (tmp_path / "log").read_bytes() == b"its last words"


def test_a_warning_shows_its_words_where_they_are_about_code() -> None:
    with structlog.testing.capture_logs() as lines:
        for kind in (SecurityWarning, DeprecationWarning, UserWarning):
            strays._warned(SECRET, kind, "module.py", 7)
    assert [line["reason"] for line in lines] == [SECRET, SECRET, None]

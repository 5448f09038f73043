"""The table at the end of `make faults`: each fault, what stock Celery does, what this service did, and how fast."""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import pytest

from tests.support.stack import Stack

# Lines of a role's log that a test's failure shows.
LAST_LINES = 40

Recovered = Callable[[float], None]
Measured = Callable[[str], None]


class Row(NamedTuple):
    """What became of one fault; rows sort by the line, and then as their tests stand in the files."""

    letter: str
    number: int
    place: tuple[str, int]
    test: str
    outcome: str
    stock: str
    seconds: str
    words: str


ROWS: list[Row] = []


@pytest.fixture
def recovered(record_property: Callable[[str, object], None]) -> Recovered:
    """Say how many seconds it took until the service was as it should be."""
    return lambda seconds: record_property("recovered", f"{seconds:.1f}")


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Say what else was measured, in a few words."""
    return lambda words: record_property("measured", words)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report say which lines its test names, and what the roles of one that failed said last.

    It goes to another process, and the test does not.
    """
    report = yield
    report.user_properties += [("fault", marker.args) for marker in item.iter_markers("fault")]
    if report.failed:
        stacks = [each for each in item.funcargs.values() if isinstance(each, Stack)]
        for role in (role for stack in stacks for role in stack.roles):
            lines = role.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
            report.sections.append((f"last lines of {role.log.name}", "\n".join(lines)))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep a row of each line that a test names, once it has run or could not begin."""
    if report.when != "call" and (report.when != "setup" or report.passed):
        return
    outcome = "held" if report.passed else "skipped" if report.skipped else "BROKE"
    file, line, name = report.location
    said = dict(report.user_properties)
    lines: list[Any] = [value for kind, value in report.user_properties if kind == "fault"]
    for fault, stock in lines:
        seconds, words = str(said.get("recovered", "")), str(said.get("measured", ""))
        ROWS.append(Row(fault[0], int(fault[1:]), (file, line or 0), name, outcome, stock, seconds, words))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, where a fault was among the tests."""
    if not ROWS:
        return
    terminalreporter.section("faults")
    for row in sorted(ROWS):
        sentence = row.test.removeprefix("test_").replace("_", " ").partition("[")[0]
        line, seconds = f"{row.letter}{row.number}", row.seconds and f"{row.seconds} s"
        terminalreporter.write_line(f"{line:<4} {row.outcome:<7} {seconds:>6}  {sentence}")
        terminalreporter.write_line(f"{'':20} stock Celery: {row.stock}")
        if row.words:
            terminalreporter.write_line(f"{'':20} measured: {row.words}")

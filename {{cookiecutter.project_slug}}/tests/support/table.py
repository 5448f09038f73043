"""The table at the end of `make faults`: each fault, what stock Celery does, what this service did, and how fast."""

from collections.abc import Callable, Generator

import pytest

Recovered = Callable[[float], None]
Measured = Callable[[str], None]
ROWS: list[tuple[str, str, str, str, str, str]] = []


@pytest.fixture
def recovered(record_property: Callable[[str, object], None]) -> Recovered:
    """Say how many seconds it took until the service was as it should be."""
    return lambda seconds: record_property("recovered", f"{seconds:.1f}")


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Say what else was measured, in a few words."""
    return lambda words: record_property("measured", words)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a row of each test that names its line."""
    report = yield
    for marker in item.iter_markers("fault") if call.when == "call" else ():
        sentence = item.name.removeprefix("test_").replace("_", " ").partition("[")[0]
        outcome = "held" if report.passed else "skipped" if report.skipped else "BROKE"
        said = dict(item.user_properties)
        seconds, words = str(said.get("recovered", "")), str(said.get("measured", ""))
        ROWS.append((marker.args[0], sentence, marker.args[1], outcome, seconds, words))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, where a fault was among the tests."""
    if not ROWS:
        return
    terminalreporter.section("faults")
    for line, sentence, stock, outcome, seconds, words in sorted(ROWS, key=lambda row: (row[0][0], int(row[0][1:]))):
        terminalreporter.write_line(f"{line:<4} {outcome:<6} {seconds and seconds + ' s':>7}  {sentence}")
        terminalreporter.write_line(f"{'':20} stock Celery: {stock}")
        if words:
            terminalreporter.write_line(f"{'':20} measured: {words}")

"""Tables of what was measured: for a terminal, and for the README, whose part is written here and by nobody else."""

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.promises import PROMISES, Results

# What others are set against, since it is what most teams have.
BASE = "stock"

# The part of the README that is made.
BEGIN, END = "<!-- made by make bench -->", "<!-- until here -->"
PART = re.compile(rf"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)

SHOWN = {
    "requests_per_second": "requests/s", "jobs_per_second": "jobs/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms",
    "cpu_ms": "CPU ms each", "stores_cpu_ms": "of stores", "memory_mb": "MB", "rss_mb": "RSS MB",
    "idle_p99_ms": "idle p99 ms", "busy_p99_ms": "busy p99 ms", "not_within_s": "not within s",
}  # fmt: skip


def text(found: Mapping[str, Any]) -> list[str]:
    """One step, a line for each contestant, size or role, with its ratio to stock Celery."""
    lines = [found["about"]] if "about" in found else []
    for kind in ("contestants", "sizes", "roles"):
        rows = found.get(kind, {})
        for row, numbers in rows.items():
            cells = [f"{value:>10,.6g} {SHOWN.get(what, what)}" for what, value in _cells(numbers).items()]
            lines.append(f"{row:<14}{'  '.join(cells)}{_ratio(rows, row)}")
    lines += [f"{value:>10,.6g} s  {what}" for what, value in found.get("seconds", {}).items()]
    lines += [f"{found[what]:>10,.4g}  {what.replace('_', ' ')}" for what in found if what.endswith("_per_second")]
    return [*lines, *found.get("lines", [])]


def promised(results: Results) -> list[str]:
    """What is promised, what was measured, and whether it is reached."""
    verdicts = {True: "reached", False: "NOT reached", None: "not measured"}
    lines = ["promised"]
    for promise in PROMISES:
        value = promise.value(results)
        said = "" if value is None else f", got {value:.3g}{promise.unit}"
        how = "at most" if promise.below else "at least"
        lines.append(
            f"  {verdicts[promise.kept(results)]:<13}{promise.words}: {how} {promise.bound:g}{promise.unit}{said}"
        )
    return lines


def markdown(results: Results) -> str:
    """The README's part: the plot, who survives what how fast, and what is promised."""
    machine, date = results["machine"], results["date"]
    where = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, {date}"
    others = [step["measured"].get("others_percent") for step in results["steps"].values()]
    load = "others used it as well, nobody noted how much"
    if None not in others:
        load = f"just before each step others took {min(others)} to {max(others)} % of it"
    note = f"Measured on {where}; {load}. Medians of rounds in turns."
    plot = f"![{alternative(results)}](benchmarks/results.svg)\n\n{note}\n"
    head = ["", "accepts a second", "p99", "does a second", "`kill -9`: runs again", *SURVIVES.values()]
    rows = [_row(results, name, about) for name, about in results["contestants"].items()]
    named = [["promised", "bound", "measured", ""], *_promises(results)]
    # What the rendered service stands on is in its own lock file.
    shown = {name: version for name, version in results["versions"].items() if "rendered" not in name}
    versions = ", ".join(f"{name} {version}" for name, version in sorted(shown.items()))
    return f"\n{plot}\n{_grid([head, *rows])}\n{_grid(named)}\nVersions: {versions}.\n\n"


def replaced(readme: str, results: Results) -> str:
    """The README with its part as these results have it."""
    return PART.sub(lambda _: markdown(results), readme)


def alternative(results: Results) -> str:
    """The plot in a sentence, for those who do not see it."""
    said = "Bars of each contestant: requests accepted a second, jobs done a second, and seconds until a job runs again"
    return f"{said} whose worker was killed; {len(results['contestants'])} contestants."


SURVIVES = {
    "killed_worker": "survives a killed worker", "wiped_broker": "a wiped broker",
    "committed_row": "is committed with a row of yours",
}  # fmt: skip


def _row(results: Results, name: str, about: Mapping[str, Any]) -> list[str]:
    steps = results["steps"]
    accepted, killed = _of(steps, "accept", name), _of(steps, "recovery", name)
    again = f"{killed['seconds']:g} s" if "seconds" in killed else "-"
    if "not_within_s" in killed:
        again = f"not within {killed['not_within_s']:g} s"
    cells = [about["title"], _rate(steps, "accept", name, "requests_per_second")]
    cells += [f"{accepted['p99_ms']:.0f} ms" if accepted else "-", _rate(steps, "done", name, "jobs_per_second")]
    return [*cells, again, *(about["survives"][what] for what in SURVIVES)]


def _rate(steps: Mapping[str, Any], step: str, name: str, number: str) -> str:
    own, base = _of(steps, step, name).get(number), _of(steps, step, BASE).get(number)
    if own is None:
        return "-"
    return f"{own:,.0f} ({own / base:.2f}x)" if base else f"{own:,.0f}"


def _of(steps: Mapping[str, Any], step: str, name: str) -> Mapping[str, float]:
    found: Mapping[str, float] = steps.get(step, {}).get("contestants", {}).get(name, {})
    return found


def _promises(results: Results) -> list[list[str]]:
    rows = []
    for promise in PROMISES:
        value, kept = promise.value(results), promise.kept(results)
        how = "at most" if promise.below else "at least"
        measured = "not measured" if value is None else f"{value:.3g}{promise.unit}"
        verdict = {True: "reached", False: "not reached", None: ""}[kept]
        rows.append([promise.words, f"{how} {promise.bound:g}{promise.unit}", measured, verdict])
    return rows


def _grid(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:], ""])


def _cells(numbers: dict[str, float] | float) -> dict[str, float]:
    return numbers if isinstance(numbers, dict) else {"seconds": numbers}


def _ratio(rows: Mapping[str, Any], row: str) -> str:
    own, base = _cells(rows[row]), _cells(rows.get(BASE, {}))
    first = next((what for what in ("requests_per_second", "jobs_per_second") if what in own and base.get(what)), None)
    return f"  {own[first] / base[first]:>6.2f}x" if first else ""

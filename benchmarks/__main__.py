"""`make bench`: the rendered service beside what a team would use instead; `make bench ONLY=accept` for one step."""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import processes, results, table
from benchmarks.peers import contestants
from benchmarks.processes import Trouble, run
from benchmarks.stage import REPOSITORY, UV, Stage
from benchmarks.steps import Step, chosen

# The plot's library is in no environment but that of the moment in which it is drawn.
PLOT = (UV, "run", "--quiet", "--no-project", "--with", "matplotlib>=3.11,<4", "python", "-m", "benchmarks.plot")
SHOWN = {"accept", "done", "recovery"}


def main() -> int:
    """Measure, print tables, and write results.json, the plot and the README's part; gives the exit code."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    try:
        steps = chosen(os.environ.get("ONLY", ""))
    except Trouble as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        stage = Stage(Path(name))
        try:
            return measure(stage, steps)
        except Trouble as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nstopped; benchmarks/results.json stays as it was", file=sys.stderr)
            return 130
        finally:
            # A second Ctrl-C would leave processes behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            stage.end()
            processes.end()


def measure(stage: Stage, steps: dict[str, Step]) -> int:
    """Take one step after the other; what fails leaves the others be."""
    found = kept()
    failed = False
    for number, (name, step) in enumerate(steps.items(), start=1):
        print(f"{number} of {len(steps)}  {name}", flush=True)
        others, began = results.busy(), time.monotonic()
        try:
            measured = step(stage)
        except Trouble as error:
            print(f"  {name} is left out: {error}", flush=True)
            failed = True
            continue
        about = {"date": results.present(), "others_percent": round(others), "seconds": round(time.monotonic() - began)}
        found.setdefault("steps", {})[name] = measured | {"measured": about}
        found |= {"machine": results.machine(), "date": results.present(), "contestants": described()}
        found["versions"] = found.get("versions", {}) | results.versions(stage)
        print("\n".join(f"  {line}" for line in table.text(measured)), flush=True)
        print(f"  {about['seconds']} s", flush=True)
    return publish(found) or int(failed)


def publish(found: dict[str, Any]) -> int:
    """Draw the plot, write the README's part, and print what was promised."""
    if "steps" not in found:
        return 1
    results.write(found)
    print("\n".join(table.promised(found)), flush=True)
    readme = REPOSITORY / "README.md"
    readme.write_text(table.replaced(readme.read_text(), found))
    try:
        if found["steps"].keys() & SHOWN:
            run(*PLOT, folder=REPOSITORY)
    except Trouble as error:
        print(f"the plot stays as it was: {error}", file=sys.stderr)
        return 1
    return 0


def kept() -> dict[str, Any]:
    """What other steps found on this machine; nothing from another one."""
    found = results.read()
    return found if found.get("machine") == results.machine() else {}


def described() -> dict[str, Any]:
    """Each contestant's title, and what it survives."""
    return {name: {"title": each.title, "survives": vars(each.survives)} for name, each in contestants().items()}


if __name__ == "__main__":
    sys.exit(main())

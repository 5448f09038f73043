"""The steps of a run: what each is called, what it does, and in which order."""

from collections.abc import Callable
from typing import Any

from benchmarks import accept, crowded, done, fast, killed, quiet, rendering, roles
from benchmarks.processes import Process, Trouble, run
from benchmarks.stage import Stage

Step = Callable[[Stage], dict[str, Any]]

# Minutes in which nothing may grow in Redis; `python -m benchmarks.idle 60` in a rendered service looks for an hour.
IDLE_MINUTES = 1.0
IDLE_SECONDS = 300.0


def starting(stage: Stage) -> dict[str, Any]:
    """Each role, and the API's application by itself."""
    return roles.measure(stage) | rendering.application(stage)


def recovery(stage: Stage) -> dict[str, Any]:
    """A killed worker of everybody, and then what else can break of ours."""
    return killed.measure(stage) | inside(stage, "recovery")


def idling(stage: Stage) -> dict[str, Any]:
    """What is asked and held while nothing happens, and meanwhile, on stores apart, what grows."""
    words = [stage.service / ".venv/bin/python", "-W", "ignore", "-m", "benchmarks.idle", f"{IDLE_MINUTES:g}"]
    growth = Process(*words, folder=stage.service, log=stage.scratch / "idle.log")
    try:
        found = quiet.measure(stage)
        growth.wait(lambda: growth.ended == 0, IDLE_SECONDS)
    finally:
        growth.stop()
    return found | {"lines": growth.log.read_text().splitlines()[-1:]}


def inside(stage: Stage, module: str) -> dict[str, Any]:
    """A module that runs in the rendered service's environment, on stores of its own; it prints what it finds."""
    python = stage.service / ".venv/bin/python"
    said = run(python, "-W", "ignore", "-m", f"benchmarks.{module}", folder=stage.service)
    return {"lines": [line.strip() for line in said.splitlines() if line.strip()]}


STEPS: dict[str, Step] = {
    "render": rendering.measure,
    "start": starting,
    "probe": rendering.probing,
    "accept": accept.measure,
    "done": done.measure,
    "fast": fast.measure,
    "recovery": recovery,
    "waiting": crowded.measure,
    "idle": idling,
    "backlog": lambda stage: inside(stage, "backlog"),
    "batches": lambda stage: inside(stage, "batches"),
    "greenlets": lambda stage: inside(stage, "waiting"),
    "observed": lambda stage: inside(stage, "observed"),
}


def chosen(only: str) -> dict[str, Step]:
    """The steps that ONLY names, or all.

    Raises:
        Trouble: it names something else.
    """
    names = only.replace(",", " ").split()
    if unknown := [name for name in names if name not in STEPS]:
        raise Trouble(f"expected ONLY to name steps ({', '.join(STEPS)}), got: {', '.join(unknown)}")
    return {name: step for name, step in STEPS.items() if not names or name in names}

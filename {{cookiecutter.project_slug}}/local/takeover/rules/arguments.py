"""Arguments: what a message can carry, and how it is written."""

from collections.abc import Iterator

from local.takeover.finding import EVERY_TASK, Fault, Finding
from local.takeover.project import Project
from local.takeover.things import thing, types
from local.takeover.value import shown

OBJECT = Fault(
    "object-argument",
    "arguments that are JSON",
    "it is stale by the time the task runs, or needs more than JSON to travel; `submit` refuses it",
    "pass its key, or its text (`.isoformat()`, `str(...)`), and load it in the task, within `self.job.transaction()`",
)
UNNAMED = Fault(
    "unnamed-argument",
    "named arguments",
    "a job's arguments have names, and a task without them does not import here",
    "name each: `submit` passes keyword arguments",
)
PICKLE = Fault(
    "pickle",
    "JSON alone",
    "whoever reaches the broker runs code in the workers",
    "leave it out: the service writes and accepts JSON alone",
)
PICKLES = {"pickle", "application/x-python-serialize"}


def arguments(project: Project) -> Iterator[Finding]:
    """Objects among the arguments, arguments without names, and pickles."""
    for task in project.tasks:
        pydantic = (given := task.given("pydantic")) is not None and given.value is not False
        for parameter in task.parameters:
            found = [] if pydantic else list(types(parameter.annotation, task.module, project.source))
            if found:
                yield OBJECT.at(task.module, parameter, task.name, f"{parameter.arg}: {found[0]}")
        unnamed = [*task.function.args.posonlyargs[task.bound :], *filter(None, [task.function.args.vararg])]
        for parameter in unnamed:
            star = "*" if parameter is task.function.args.vararg else ""
            yield UNNAMED.at(task.module, parameter, task.name, f"{star}{parameter.arg}")
        if (how := task.given("serializer")) and how.value in PICKLES:
            yield PICKLE.at(how.module, how.expression, task.name, f"serializer {how.shown}")
    for call in project.calls:
        for each in call.arguments:
            if thing(each, call.function, call.module, project.source):
                yield OBJECT.at(call.module, each, call.task.name, f"{shown(call.node.func)}({shown(each)})")
        if (option := call.option("serializer")) and shown(option).strip("'") in PICKLES:
            yield PICKLE.at(call.module, option, call.task.name, "serializer 'pickle'")
    for accepted in project.settings.get("accept_content", []):
        if not PICKLES.isdisjoint(accepted.strings()):
            yield PICKLE.at(accepted.module, accepted.expression, EVERY_TASK, f"accept_content={accepted.shown}")

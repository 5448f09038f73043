"""Waiting: for the result of a task, in another or in whoever asked for it."""

import ast
from collections.abc import Iterator

from local.takeover.body import walk
from local.takeover.finding import EVERY_TASK, Fault, Finding
from local.takeover.project import Project
from local.takeover.source import Function, Module
from local.takeover.task import Task
from local.takeover.value import shown

IN_TASK = Fault(
    "waiting-in-task",
    "no task that waits for another",
    "workers that wait take the places of those they wait for, until all of them do: a deadlock",
    "let the next step follow: `self.job.submit(name, kwargs)` at the end of this one",
)
OUTSIDE = Fault(
    "waiting",
    "nobody who waits for a result",
    "a request is held as long as the task takes, and for ever if its result is lost",
    "answer 202 with the job's id, and let `GET /v1/jobs/ID` or a `callback_url` tell how it ended",
)
# What gives a result, by the end of its dotted name, and what waits for it.
RESULTS = (".delay", ".apply_async", ".send_task", "AsyncResult", "GroupResult", "ResultSet")
WAITS = {"collect", "get", "join", "join_native", "wait", "wait_for"}


def waiting(project: Project) -> Iterator[Finding]:
    """`.get()` and its like, on what is plainly a result."""
    within = {node: task for task in project.tasks for node in ast.walk(task.function)}
    for module in project.source.modules:
        for node, function, _ in module.places:
            if function and isinstance(node, ast.Call) and _waits(node, function, module):
                yield from _found(node, function, module, within, project)


def _found(
    node: ast.Call, function: Function, module: Module, within: dict[ast.AST, Task], project: Project
) -> Iterator[Finding]:
    task = within.get(node)
    if task:
        yield IN_TASK.at(module, node, task.name, shown(node))
    else:
        called = [call.task.name for call in project.calls if call.node in set(ast.walk(node))]
        called = called or [call.task.name for call in project.calls if call.function is function]
        yield OUTSIDE.at(module, node, (called or [EVERY_TASK])[0], shown(node))


def _waits(node: ast.Call, function: Function, module: Module) -> bool:
    name = module.resolve(node.func)
    if name.rpartition(".")[2] == "allow_join_result":
        return True
    return (
        isinstance(node.func, ast.Attribute) and node.func.attr in WAITS and _result(node.func.value, function, module)
    )


def _result(expression: ast.expr, function: Function, module: Module) -> bool:
    match expression:
        case ast.Call():
            name = module.resolve(expression.func)
            # `group(...)()` and `chord(...)(body)`: a canvas that is called.
            canvas = isinstance(expression.func, ast.Call) and name.rpartition(".")[2] in {"chain", "chord", "group"}
            return canvas or name.endswith(RESULTS)
        case ast.Name():
            given = [
                node.value
                for node in walk(function)
                if isinstance(node, ast.Assign)
                and any(isinstance(target, ast.Name) and target.id == expression.id for target in node.targets)
            ]
            return bool(given) and all(isinstance(each, ast.Call) and _result(each, function, module) for each in given)
        case ast.Subscript() | ast.Attribute(attr="parent"):
            return _result(expression.value, function, module)
    return False

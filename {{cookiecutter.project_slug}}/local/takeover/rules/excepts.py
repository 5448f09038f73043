"""Excepts: those that are so broad that a time limit ends in them."""

import ast
import builtins
from collections.abc import Iterator

from local.takeover.body import BROAD, broad, caught, ends_by_raising, walk
from local.takeover.finding import Fault, Finding
from local.takeover.project import Project
from local.takeover.source import dotted
from local.takeover.task import Task
from local.takeover.value import shown

SWALLOWED = Fault(
    "swallowed-limit",
    "excepts that let SoftTimeLimitExceeded through",
    "a task that is asked to stop goes on until it is killed, and what it retries or postpones is swallowed, too",
    "name the errors that you can handle; or `raise` at its end, or `except SoftTimeLimitExceeded: raise` before",
)


def excepts(project: Project) -> Iterator[Finding]:
    """Broad excepts around work that do not raise again."""
    for task in project.tasks:
        for node in walk(task.function):
            if isinstance(node, ast.Try | ast.TryStar):
                yield from _handlers(node, task)
            elif isinstance(node, ast.With):
                yield from _suppressed(node, task)


def _handlers(node: ast.Try | ast.TryStar, task: Task) -> Iterator[Finding]:
    for handler in node.handlers if _works(node.body) else []:
        if any(name.endswith("SoftTimeLimitExceeded") for name in caught(handler, task.module)):
            return
        if broad(handler, task.module):
            if not ends_by_raising(handler.body):
                got = f"except {shown(handler.type)}" if handler.type else "a bare except"
                yield SWALLOWED.at(task.module, handler, task.name, f"{got} that does not raise again")
            return


def _suppressed(node: ast.With, task: Task) -> Iterator[Finding]:
    for each in node.items:
        call = each.context_expr
        if isinstance(call, ast.Call) and task.module.resolve(call.func) == "contextlib.suppress":
            everything = [shown(each) for each in call.args if task.module.resolve(each) in BROAD]
            if everything:
                yield SWALLOWED.at(task.module, call, task.name, f"suppress({everything[0]})")


def _works(body: list[ast.stmt]) -> bool:
    """Whether it calls anything that can take its time, which `int(text)` does not."""
    called = [dotted(node.func) for each in body for node in walk(each) if isinstance(node, ast.Call)]
    return any(not hasattr(builtins, name) for name in called)

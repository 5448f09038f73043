"""Bodies: what happens within a task, or within one part of it."""

import ast
from collections.abc import Iterator

from local.takeover.source import Module, dotted
from local.takeover.task import Task

BROAD = {"Exception", "BaseException", "builtins.Exception", "builtins.BaseException"}
LEAVE = {"sys.exit", "os._exit"}


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """What is in it, without the bodies of the lambdas and classes in it, which are another matter."""
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        each = waiting.pop(0)
        yield each
        if not isinstance(each, ast.Lambda | ast.ClassDef):
            waiting[:0] = ast.iter_child_nodes(each)


def caught(handler: ast.ExceptHandler, module: Module) -> set[str]:
    """The dotted names of what a handler catches."""
    listed = handler.type
    if listed is None:
        return {"BaseException"}
    return {module.resolve(each) for each in (listed.elts if isinstance(listed, ast.Tuple) else [listed])}


def broad(handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether it catches everything, time limits among it."""
    return not BROAD.isdisjoint(caught(handler, module))


def ends_by_raising(body: list[ast.stmt]) -> bool:
    """Whether whoever comes to its end leaves by an exception."""
    last = body[-1] if body else None
    match last:
        case ast.Raise():
            return True
        case ast.If():
            return ends_by_raising(last.body) and ends_by_raising(last.orelse)
        case ast.With():
            return ends_by_raising(last.body)
        case ast.Expr(value=ast.Call()) | ast.Return(value=ast.Call()):
            assert isinstance(last.value, ast.Call)
            name = dotted(last.value.func)
            return name in LEAVE or name.endswith(".retry")
    return False


def retries_in(node: ast.AST, task: Task) -> Iterator[ast.Call]:
    """The calls of the task's `retry`."""
    first = [each.arg for each in task.function.args.args[:1]] if task.bound else []
    owners = {*first, task.node.name, "current_task", "celery.current_task"}
    for each in walk(node):
        if isinstance(each, ast.Call):
            owner, _, name = task.module.resolve(each.func).rpartition(".")
            if name == "retry" and owner in owners:
                yield each

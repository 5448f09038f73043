"""Calls: where a task is sent to the broker, or made ready to be, and from within which function."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from local.takeover.source import Function, Module, Source, dotted
from local.takeover.task import Task

SENDS = {"delay", "apply_async"}
READIES = {"s", "si", "signature", "subtask"}


@dataclass(frozen=True)
class Call:
    """`charge.delay(user)`, somewhere."""

    task: Task
    module: Module
    node: ast.Call
    function: Function | None
    sends: bool
    # Whether it stands in an except.
    handles: bool

    @property
    def arguments(self) -> Iterator[ast.expr]:
        """What the task is given."""
        how = self.node.func.attr if isinstance(self.node.func, ast.Attribute) else ""
        if how in {"delay", "s", "si"}:
            yield from self.node.args
            yield from (given.value for given in self.node.keywords)
        else:
            positional = dict(zip(("args", "kwargs"), self.node.args[how == "send_task" :], strict=False))
            given = positional | {each.arg: each.value for each in self.node.keywords if each.arg in {"args", "kwargs"}}
            for each in given.values():
                match each:
                    case ast.Tuple() | ast.List():
                        yield from each.elts
                    case ast.Dict():
                        yield from each.values
                    case ast.Call(func=ast.Name(id="dict")):
                        yield from (given.value for given in each.keywords)

    def option(self, name: str) -> ast.expr | None:
        """What was given for one of the call's options."""
        return next((given.value for given in self.node.keywords if given.arg == name), None)


def calls(source: Source, tasks: list[Task]) -> list[Call]:
    """Every call of these tasks."""
    known = {task.node.name: task for task in reversed(tasks)} | {task.name: task for task in tasks}
    return [
        Call(found[0], module, node, function, found[1], handles)
        for module in source.modules
        for node, function, handles in module.places
        if isinstance(node, ast.Call) and (found := _called(node, module, source, known))
    ]


def _called(node: ast.Call, module: Module, source: Source, known: dict[str, Task]) -> tuple[Task, bool] | None:
    """The task that a call is one of, and whether it sends it."""
    if not isinstance(node.func, ast.Attribute):
        return None
    how = node.func.attr
    if how == "send_task":
        name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        return (known[name], True) if isinstance(name, str) and name in known else None
    if how not in SENDS | READIES:
        return None
    receiver = node.func.value
    if isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute) and receiver.func.attr in READIES:
        receiver = receiver.func.value
    # `from shop.tasks import charge as pay` and `tasks.charge` both end in the function's name.
    name = source.origin(module.resolve(receiver) or dotted(receiver))
    task = known.get(name) or known.get(name.rpartition(".")[2])
    return (task, how in SENDS) if task else None

"""Commits: tasks that are sent before what they are about is committed."""

import ast
from collections.abc import Iterator

from local.takeover.body import walk
from local.takeover.finding import Fault, Finding
from local.takeover.project import Project
from local.takeover.source import Function, Module, dotted

UNCOMMITTED = Fault(
    "before-commit",
    "tasks that are sent once their rows are committed",
    "the worker is faster than the commit and finds no row, or the commit fails and the task runs all the same",
    "submit(name, kwargs, session=session): the job is a row of the same transaction, and is rung for after its commit",
)
WRITES = {"add", "add_all", "bulk_create", "create", "delete", "execute", "flush", "merge", "save", "update"}
ATOMIC = (".atomic", ".begin", ".begin_nested", ".transaction")


def commits(project: Project) -> Iterator[Finding]:
    """Sends within a transaction, or ahead of a commit."""
    for call in project.calls:
        if call.function and call.sends and (got := _open(call.function, call.node, call.module)):
            yield UNCOMMITTED.at(call.module, call.node, call.task.name, got)


def _open(function: Function, sent: ast.Call, module: Module) -> str:
    """What holds the transaction open in which it is sent; empty where there is none to be seen."""
    for decorator in function.decorator_list:
        if module.resolve(decorator).endswith("transaction.atomic"):
            return "sent within @transaction.atomic"
    for node in walk(function):
        if isinstance(node, ast.With | ast.AsyncWith) and sent in set(walk(node)):
            for each in node.items:
                name = module.resolve(each.context_expr)
                if name.endswith(ATOMIC):
                    return f"sent within `with {dotted(each.context_expr)}`"
    return "sent before a commit" if _commits_after(function.body, sent) else ""


def _commits_after(body: list[ast.stmt], sent: ast.Call) -> bool:
    """Whether the statements after it, in this block or around it, commit what was written before it."""
    for index, statement in enumerate(body):
        inside = set(walk(statement))
        if sent in inside:
            blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [handler.body for handler in getattr(statement, "handlers", [])]
            blocks += [case.body for case in getattr(statement, "cases", [])]
            own = next((block for block in blocks if any(sent in set(walk(each)) for each in block)), [])
            if own and _commits_after(own, sent):
                return True
            if own and isinstance(own[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
                return False
            return _written(body[:index]) and any(_calls(each, {"commit"}) for each in body[index + 1 :])
    return False


def _written(before: list[ast.stmt]) -> bool:
    """Whether something was written since the last commit."""
    for statement in reversed(before):
        if _calls(statement, {"commit"}):
            return False
        if _calls(statement, WRITES):
            return True
    return False


def _calls(statement: ast.stmt, names: set[str]) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names
        for node in walk(statement)
    )

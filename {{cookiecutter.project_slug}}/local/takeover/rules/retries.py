"""Retries: how often, of what, and how far apart."""

import ast
from collections.abc import Iterator

from local.takeover.body import broad, ends_by_raising, retries_in, walk
from local.takeover.finding import Fault, Finding
from local.takeover.project import Project
from local.takeover.settings import Given
from local.takeover.source import dotted
from local.takeover.task import Task
from local.takeover.value import UNKNOWN, shown, value

_ERRORS = (
    "name what may pass: autoretry_for=(UpstreamError,), which service.outbound.client raises; all else fails at once"
)

ENDLESS = Fault(
    "endless-retry",
    "a number of retries",
    "what never succeeds is tried for ever, and its worker is lost for good",
    "leave max_retries to base=FastTask or SlowTask; then the job is a dead letter, and `jobs retry ID` runs it again",
)
TOO_BROAD = Fault(
    "broad-retry",
    "retries of errors that may pass",
    "wrong data and reached time limits are tried again, too, each time in vain",
    _ERRORS,
)
TOGETHER = Fault(
    "backoff",
    "waits between retries that grow, with jitter",
    "what failed together comes back together, and brings down again whom it calls",
    "declare it with base=FastTask or SlowTask: their retries wait longer each time, never the same, and never zero",
)


def retries(project: Project) -> Iterator[Finding]:
    """Retries without an end, without a reason, or without a wait."""
    for task in project.tasks:
        yield from _options(task)
        for node in walk(task.function):
            if isinstance(node, ast.While) and (tried := _tries_for_ever(node)):
                yield ENDLESS.at(task.module, tried, task.name, f"while {shown(node.test)}, with an error ignored")
            elif isinstance(node, ast.ExceptHandler) and broad(node, task.module) and list(retries_in(node, task)):
                caught = f"except {shown(node.type)}" if node.type else "a bare except"
                yield TOO_BROAD.at(task.module, node, task.name, f"{caught} that retries")
        for call in retries_in(task.function, task):
            if not task.preset and (got := _fixed(call, task)):
                yield TOGETHER.at(task.module, call, task.name, got)
    for sent in project.calls:
        if sent.sends and sent.handles and sent.function is sent.task.function:
            yield ENDLESS.at(sent.module, sent.node, sent.task.name, "an except that sends the task again, uncounted")


def _options(task: Task) -> Iterator[Finding]:
    most = task.options.get("max_retries")
    if most and most.value is None:
        yield ENDLESS.at(most.module, most.expression, task.name, "max_retries=None")
    errors = task.given("autoretry_for")
    if not errors:
        return
    for name in _names(errors):
        if name in {"Exception", "BaseException"}:
            yield TOO_BROAD.at(errors.module, errors.expression, task.name, f"autoretry_for={errors.shown}")
            break
    backoff, jitter = task.given("retry_backoff"), task.given("retry_jitter")
    if not task.preset and (backoff is None or not backoff.value):
        yield TOGETHER.at(errors.module, errors.expression, task.name, "autoretry_for without retry_backoff")
    elif not task.preset and jitter and jitter.value is False:
        yield TOGETHER.at(jitter.module, jitter.expression, task.name, "retry_jitter=False")


def _names(errors: Given) -> list[str]:
    listed = errors.expression
    if isinstance(listed, ast.Name):
        listed = errors.module.assigned.get(listed.id, listed)
    return [dotted(each) for each in (listed.elts if isinstance(listed, ast.Tuple | ast.List) else [listed])]


def _fixed(call: ast.Call, task: Task) -> str:
    """What is the same at each retry; empty where the wait is computed."""
    given = {each.arg: each.value for each in call.keywords}
    if None in given or "eta" in given:
        return ""
    if "countdown" not in given:
        return "self.retry without countdown, which waits the same each time"
    same = value(given["countdown"], task.module) is not UNKNOWN
    return f"self.retry(countdown={shown(given['countdown'])}), the same each time" if same else ""


def _tries_for_ever(loop: ast.While) -> ast.ExceptHandler | None:
    """The handler after which a `while True` that ends by success goes round again, with nothing that counts."""
    if not (isinstance(loop.test, ast.Constant) and loop.test.value):
        return None
    nodes = list(walk(loop))
    inner = {node for each in nodes if isinstance(each, ast.For | ast.While) for node in walk(each)}
    for node in [] if any(isinstance(each, ast.AugAssign) for each in nodes) else nodes:
        if isinstance(node, ast.Try) and node not in inner and _leaves([*node.body, *node.orelse]):
            for handler in node.handlers:
                if not _leaves(handler.body) and not ends_by_raising(handler.body):
                    return handler
    return None


def _leaves(body: list[ast.stmt]) -> bool:
    """Whether it may end the loop that it is in."""
    nodes = [node for each in body for node in (each, *walk(each))]
    return any(isinstance(node, ast.Return | ast.Break | ast.Raise) for node in nodes)

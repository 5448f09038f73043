"""Settings: what is configured for all tasks, wherever and in whichever of Celery's spellings it stands."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.takeover.source import Module, Source
from local.takeover.value import shown, value

NAMES = {
    "accept_content",
    "broker_url",
    "result_backend",
    "task_acks_late",
    "task_acks_on_failure_or_timeout",
    "task_acks_on_timeout",
    "task_annotations",
    "task_cls",
    "task_default_rate_limit",
    "task_ignore_result",
    "task_reject_on_worker_lost",
    "task_retry_on_worker_lost",
    "task_serializer",
    "task_soft_time_limit",
    "task_time_limit",
    "visibility_timeout",
    "worker_pool",
}

# Spellings that are more than a prefix away: those before Celery 4, and arguments of `Celery(...)`.
OLD = {
    "CELERYD_POOL": "worker_pool",
    "CELERY_ACKS_LATE": "task_acks_late",
    "CELERY_ANNOTATIONS": "task_annotations",
    "CELERY_DEFAULT_RATE_LIMIT": "task_default_rate_limit",
    "CELERY_IGNORE_RESULT": "task_ignore_result",
}
ARGUMENTS = {"backend": "result_backend", "broker": "broker_url"}


@dataclass(frozen=True)
class Given:
    """What was given for an option or a setting, and where."""

    expression: ast.expr
    module: Module

    @property
    def value(self) -> Any:
        """The constant that it is, or UNKNOWN."""
        return value(self.expression, self.module)

    @property
    def shown(self) -> str:
        """Its source."""
        return shown(self.expression)

    def strings(self) -> Iterator[str]:
        """The constant strings anywhere in it: a default of `os.environ.get` is one."""
        for node in ast.walk(self.expression):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def settings(source: Source) -> dict[str, list[Given]]:
    """Every setting that tasks depend on, with each place that gives it."""
    found: dict[str, list[Given]] = {}
    for module in source.modules:
        for name, expression in _pairs(module):
            known = OLD.get(name) or re.sub(r"^.*celeryd?_", "", name.lower())
            if known in NAMES:
                found.setdefault(known, []).append(Given(expression, module))
    return found


def _pairs(module: Module) -> Iterator[tuple[str, ast.expr]]:
    """Every name that is given a value: by assignment, as an argument, or in a dict."""
    for node, *_ in module.places:
        match node:
            case ast.Assign():
                yield from ((_target(target), node.value) for target in node.targets)
            case ast.AnnAssign(value=ast.expr() as given):
                yield _target(node.target), given
            case ast.Call():
                celery = module.resolve(node.func).endswith("Celery")
                for keyword in node.keywords:
                    name = keyword.arg or ""
                    yield ARGUMENTS.get(name, name) if celery else name, keyword.value
            case ast.Dict():
                for key, each in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield key.value, each


def _target(target: ast.expr) -> str:
    match target:
        case ast.Name():
            return target.id
        case ast.Attribute(attr="Task"):
            # `app.Task = Base`, as Flask's documentation has it.
            return "task_cls"
        case ast.Attribute():
            return target.attr
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""

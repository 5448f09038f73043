"""Values: what an expression comes to, as far as that can be seen without running anything."""

import ast
import operator
from typing import Any, Final

from local.takeover.source import HOPS, Module


class _Unknown:
    """Not to be seen from the source."""


UNKNOWN: Final = _Unknown()

SECONDS = {"weeks": 604_800, "days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1, "milliseconds": 0.001}
OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
# Longer ones are no text to show, and none to compute with.
LONGEST = 60


def value(expression: ast.expr | None, module: Module, hops: int = HOPS) -> Any:
    """The constant that it is, a timedelta in seconds; UNKNOWN where it is none."""
    match expression:
        case ast.Constant():
            return expression.value
        case ast.Name() if hops:
            return value(module.assigned.get(expression.id), module, hops - 1)
        case ast.List() | ast.Tuple() | ast.Set():
            return tuple(value(each, module, hops) for each in expression.elts)
        case ast.UnaryOp(op=ast.USub()):
            return _computed(operator.sub, 0, value(expression.operand, module, hops))
        case ast.BinOp() if type(expression.op) in OPERATORS:
            left, right = value(expression.left, module, hops), value(expression.right, module, hops)
            return _computed(OPERATORS[type(expression.op)], left, right)
        case ast.Call() if module.resolve(expression.func).endswith("timedelta"):
            return _timedelta(expression, module, hops)
        case ast.Call(func=ast.Attribute(value=duration, attr="total_seconds")):
            return value(duration, module, hops)
    return UNKNOWN


def number(expression: ast.expr | None, module: Module) -> float | None:
    """The number that it is, or None."""
    found = value(expression, module)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def ahead(expression: ast.expr | None, module: Module) -> float | None:
    """How many seconds from now a time is: those of the timedelta in `now() + timedelta(hours=2)`."""
    match expression:
        case ast.BinOp(op=ast.Add()):
            return number(expression.right, module) or number(expression.left, module)
    return None


def shown(expression: ast.expr) -> str:
    """The source of an expression, without a call's arguments, in which there may be a secret."""
    if isinstance(expression, ast.Call):
        return f"{shown(expression.func)}(…)" if expression.args or expression.keywords else ast.unparse(expression)
    text = ast.unparse(expression)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _computed(how: Any, left: Any, right: Any) -> Any:
    if all(isinstance(each, int | float) and abs(each) < 10**LONGEST for each in (left, right)):
        try:
            return how(left, right)
        except ZeroDivisionError:
            return UNKNOWN
    return UNKNOWN


def _timedelta(call: ast.Call, module: Module, hops: int) -> Any:
    given = dict(zip(("days", "seconds"), call.args, strict=False)) | {
        each.arg or "": each.value for each in call.keywords
    }
    found = [(SECONDS.get(name, 0), value(each, module, hops)) for name, each in given.items()]
    return (
        sum(unit * each for unit, each in found) if all(isinstance(each, int | float) for _, each in found) else UNKNOWN
    )

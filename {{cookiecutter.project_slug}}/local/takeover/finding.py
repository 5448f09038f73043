"""Findings: what is wrong at one place, what it costs, and what to do about it here."""

import ast
from dataclasses import dataclass

from local.takeover.source import Module

EVERY_TASK = "every task"


@dataclass(frozen=True, order=True)
class Finding:
    """One fault of one task."""

    path: str
    line: int
    rule: str
    task: str
    expected: str
    got: str
    costs: str
    remedy: str


@dataclass(frozen=True)
class Fault:
    """What is looked for: the same words wherever it is found."""

    rule: str
    expected: str
    costs: str
    remedy: str

    def at(
        self, module: Module, node: ast.expr | ast.stmt | ast.excepthandler | ast.arg, task: str, got: str
    ) -> Finding:
        """It was found here."""
        return Finding(str(module.path), node.lineno, self.rule, task, self.expected, got, self.costs, self.remedy)

"""Source: the Python that is read, and what a name in it stands for."""

import ast
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

# Folders with other people's code, or none.
PASSED_OVER = {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"}

# How deep an expression or a block may lie within others; what is deeper was not written by hand.
DEEPEST = 150

# How often one name may stand for another before it is left alone.
HOPS = 5


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unreadable(Exception):
    """A file that cannot be read as Python; the message says which and why."""


class Place(NamedTuple):
    """A node, and what it stands in."""

    node: ast.AST
    # None at the top of a module, and in a lambda, which is called at another time.
    function: Function | None
    handles: bool


@dataclass(frozen=True)
class Module:
    """One file, parsed."""

    path: Path
    name: str
    tree: ast.Module
    places: list[Place]

    @cached_property
    def imports(self) -> dict[str, str]:
        """Which imported thing each name stands for."""
        found: dict[str, str] = {}
        for node, *_ in self.places:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                origin = ".".join([*self._package(node.level), *([node.module] if node.module else [])])
                found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
        return found

    @cached_property
    def assigned(self) -> dict[str, ast.expr]:
        """What is assigned to each name of the module."""
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                found[node.target.id] = node.value
        return found

    def resolve(self, expression: ast.expr, hops: int = HOPS) -> str:
        """The dotted name of an expression, with imports and aliases followed; empty where it has none."""
        first, dot, rest = dotted(expression).partition(".")
        if first in self.imports:
            return self.imports[first] + dot + rest
        alias = self.assigned.get(first)
        if hops and isinstance(alias, ast.Name | ast.Attribute | ast.Call):
            first = self.resolve(alias, hops - 1) or first
        return first + dot + rest

    def _package(self, level: int) -> list[str]:
        """What so many dots at the beginning of an import stand for."""
        inside = [*self.name.split("."), "__init__"] if self.path.name == "__init__.py" else self.name.split(".")
        return inside[:-level] if level else []


@dataclass
class Source:
    """All that was read, and a sentence for each file that could not be."""

    modules: list[Module] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @cached_property
    def named(self) -> dict[str, Module]:
        """The modules by their dotted names."""
        return {module.name: module for module in self.modules}

    @cached_property
    def classes(self) -> dict[str, tuple[Module, ast.ClassDef]]:
        """Every class, by its name; of two with one name, the first."""
        found: dict[str, tuple[Module, ast.ClassDef]] = {}
        for module in self.modules:
            for node, *_ in module.places:
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, (module, node))
        return found

    def origin(self, name: str) -> str:
        """A dotted name, with what another of the modules assigned or imported followed."""
        before, _, last = name.rpartition(".")
        while before:
            module = self.named.get(before)
            first = last.partition(".")[0]
            if module and (first in module.assigned or first in module.imports):
                return module.resolve(ast.parse(last, mode="eval").body)
            before, _, nearer = before.rpartition(".")
            last = f"{nearer}.{last}"
        return name


def read(path: Path) -> Source:
    """Parse a file, or every Python file below a folder."""
    source = Source()
    for file in [path] if path.is_file() else _files(path):
        try:
            source.modules.append(_parse(file))
        except Unreadable as error:
            source.unreadable.append(str(error))
    return source


def dotted(expression: ast.expr) -> str:
    """`a.b.c` of `a.b.c`, and of `a.b(1).c(2)`; empty of what does not begin with a name."""
    match expression:
        case ast.Name():
            return expression.id
        case ast.Attribute():
            before = dotted(expression.value)
            return f"{before}.{expression.attr}" if before else ""
        case ast.Call():
            return dotted(expression.func)
    return ""


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER and not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if name.endswith(".py"))


def _parse(path: Path) -> Module:
    try:
        if not path.is_file():
            raise Unreadable(f"{path}: expected a file, got: something else; it was not read")
        with warnings.catch_warnings():
            # What Python thinks of its escapes is not what is asked here.
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        ours = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        expected = f"{path}:{error.lineno or 1}: expected {ours}, which this check runs on, got: {error.msg}"
        raise Unreadable(f"{expected}; correct or convert it, or run the check on the Python that it is for") from error
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(
            f"{path}: expected a file that can be read as Python, got: {error}; it was not read"
        ) from error
    places = list(_places(tree, path))
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.resolve().parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return Module(path, ".".join(parts), tree, places)


def _places(tree: ast.Module, path: Path) -> Iterator[Place]:
    """Every node, in the order of the source."""
    waiting: list[tuple[Place, int]] = [(Place(tree, None, handles=False), 0)]
    while waiting:
        place, depth = waiting.pop()
        if depth == DEEPEST:
            raise Unreadable(
                f"{path}: expected Python that people wrote, got: {depth} levels and more; it was not read"
            )
        yield place
        node, function, handles = place
        if isinstance(node, Function | ast.Lambda):
            function, handles = None if isinstance(node, ast.Lambda) else node, False
        handles = handles or isinstance(node, ast.ExceptHandler)
        inside = [(Place(child, function, handles), depth + 1) for child in ast.iter_child_nodes(node)]
        waiting += reversed(inside)

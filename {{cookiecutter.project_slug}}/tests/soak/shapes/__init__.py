"""What the soak knows of more than single jobs: a module for each shape, which goes with the shape.

It may also have `settings(role)`, what that role is told for it, and `stop()`, after which it wants nothing more.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from random import Random
from typing import Any, Protocol, cast


class Shape(Protocol):
    """A module of this package; `WEIGHT` is how many of a hundred orders or so are of it."""

    WEIGHT: int

    def order(self, random: Random, key: str) -> Any:
        """Give one order of this kind, which is named as the module is."""

    def submit(self, order: Any) -> str:
        """Give the id of the accepted job that the order is kept by."""

    def books(self, kept: Any) -> Iterator[Any]:
        """Give what must be true of it in the end."""


@cache
def found() -> Mapping[str, Shape]:
    """Every shape that is still here."""
    return {
        module.name: cast("Shape", importlib.import_module(f"{__name__}.{module.name}"))
        for module in pkgutil.iter_modules(__path__)
    }


def settings(role: str) -> Mapping[str, str]:
    """What a role is told for all shapes together."""
    return {name: value for give in _those_with("settings") for name, value in give(role).items()}


def stop() -> None:
    """Let no shape want anything more by itself."""
    for act in _those_with("stop"):
        act()


def _those_with(what: str) -> list[Callable[..., Any]]:
    return [getattr(shape, what) for shape in found().values() if hasattr(shape, what)]

"""The specification as data: the one source of what the API accepts and who may call it."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import service

METHODS = ("get", "post", "put", "patch", "delete")


@functools.cache
def specification() -> dict[str, Any]:
    """What `openapi.yaml` says; Connexion is given this and not the file, which it would run through Jinja."""
    text = Path(service.__file__).with_name("openapi.yaml").read_text("utf-8")
    # The loader in C, which PyYAML's wheels have, takes a tenth of the time.
    return dict(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506 - both are the safe one


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation, with its path and method."""
    for path, methods in specification()["paths"].items():
        yield from ((path, method, methods[method]) for method in METHODS if method in methods)


@functools.cache
def words() -> frozenset[str]:
    """The names that its paths are made of."""
    return frozenset(name for path in specification()["paths"] for name in path.split("/"))


@functools.cache
def marked(name: str) -> dict[str, Any]:
    """What the operations say that OpenAPI 3.0 has no place for, as the `x-scope` that each needs, by `operationId`."""
    return {what["operationId"]: what[name] for _, _, what in operations() if name in what}

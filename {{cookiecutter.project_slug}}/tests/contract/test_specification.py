"""`openapi.yaml` by itself."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from openapi_spec_validator import validate as validate_specification

from service.api.contract import operations, specification
from service.api.tokens import SCOPES
from tests.contract.conformance import SPECIFICATION, validate

OPERATIONS = [pytest.param(path, method, what, id=what["operationId"]) for path, method, what in operations()]


def test_is_an_openapi_document() -> None:
    """The specification is valid OpenAPI 3.0."""
    validate_specification(specification())


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
class TestOperation:
    def test_resolves_to_a_function(self, path: str, method: str, operation: dict[str, Any]) -> None:
        """Every operation is answered by the function that its operationId names."""
        module, _, name = operation["operationId"].rpartition(".")
        assert callable(getattr(import_module(module), name))

    def test_names_its_scope(self, path: str, method: str, operation: dict[str, Any]) -> None:
        """An operation has a scope, or says that it needs no token and is about health."""
        if operation.get("security") == []:
            assert path.startswith("/health/")
            assert "x-scope" not in operation
        else:
            assert operation["x-scope"] in SCOPES

    def test_answers_errors_with_problems(self, path: str, method: str, operation: dict[str, Any]) -> None:
        """Every error is a problem, those that nobody listed too."""
        responses = SPECIFICATION["paths"][path][method]["responses"]
        assert "default" in responses
        for status, response in responses.items():
            if not status.startswith(("2", "304")):
                assert list(response["content"]) == ["application/problem+json"]

    def test_takes_no_unknown_field(self, path: str, method: str, operation: dict[str, Any]) -> None:
        """A request's body is closed: a misspelt field is an error and not ignored."""
        body = SPECIFICATION["paths"][path][method].get("requestBody")
        if body:
            assert body["content"]["application/json"]["schema"]["additionalProperties"] is False

    def test_is_described(self, path: str, method: str, operation: dict[str, Any]) -> None:
        """Every operation has a summary, a description and a tag that is described."""
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= {tag["name"] for tag in SPECIFICATION["tags"]}


def examples(node: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every example of a schema, with the schema."""
    if isinstance(node, dict):
        if "example" in node and "type" in node:
            yield node["example"], node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from examples(part)


def test_shows_examples_that_hold() -> None:
    """Every example is valid for the schema that it illustrates."""
    shown = list(examples(SPECIFICATION["components"]["schemas"]))
    assert shown
    for example, schema in shown:
        validate(example, schema)

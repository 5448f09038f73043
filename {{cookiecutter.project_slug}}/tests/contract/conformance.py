"""Whether an answer is one that the specification describes."""

import re
from typing import Any

import httpx
from connexion.json_schema import Draft4ResponseValidator, resolve_refs

from service.api.contract import operations, specification
from service.api.formats import FORMATS

SPECIFICATION: dict[str, Any] = resolve_refs(specification())


def conform(answer: httpx.Response) -> httpx.Response:
    """Give the answer back, or fail with what is wrong with it."""
    described = _described(answer)
    kind = answer.headers.get("content-type", "").partition(";")[0]
    content = described.get("content", {})
    assert kind in content or not (kind or content or answer.content), f"{answer.status_code} is of type {kind!r}"
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"])
    for name, header in described.get("headers", {}).items():
        given = answer.headers.get(name)
        # Of a job it is said only until it has ended.
        assert given or (name == "Retry-After" and not answer.is_error), f"{name} is missing"
        if given:
            validate(int(given) if header["schema"]["type"] == "integer" else given, header["schema"])
    if kind.endswith("json"):
        validate(answer.json(), content[kind]["schema"])
    if answer.is_error:
        assert kind == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    return answer


def validate(value: Any, schema: dict[str, Any]) -> None:
    """Fail where the value is not what the schema says."""
    Draft4ResponseValidator(schema, format_checker=FORMATS).validate(value)


def _described(answer: httpx.Response) -> dict[str, Any]:
    for path, method, _ in operations():
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        if method == answer.request.method.lower() and re.fullmatch(pattern, answer.url.path):
            responses = SPECIFICATION["paths"][path][method]["responses"]
            return dict(responses.get(str(answer.status_code)) or responses["default"])
    assert answer.status_code in {404, 405}, "there is no such operation"
    return dict(SPECIFICATION["components"]["responses"]["Problem"])

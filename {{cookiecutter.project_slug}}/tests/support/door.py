"""A door of the tests' own in the API, where any task can be ordered over HTTP, whatever else the service offers."""

from typing import Any

from service.api.accept import accept
from service.api.answer import Answer
from service.api.contract import specification
from service.api.formats import moment

PATH = "/v1/trials"

OPERATION: dict[str, Any] = {
    "operationId": "tests.support.door.create",
    "x-scope": "jobs:write",
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {"202": {"$ref": "#/components/responses/Accepted"}},
}


def open_door() -> None:
    """Add it to the contract of this process, before its application is built."""
    specification()["paths"][PATH] = {"post": OPERATION}


def create(body: dict[str, Any], user: str) -> Answer:
    """Accept a job, or fail in a way that nobody foresaw."""
    if "fault" in body:
        raise ValueError(body["fault"])
    options = {name: body.get(name) for name in ("run_at", "callback_url", "unique_key", "lock_key")}
    options["expires_at"] = moment(body["expires_at"]) if "expires_at" in body else None
    return accept(body["task"], body["arguments"], client=user, **options)

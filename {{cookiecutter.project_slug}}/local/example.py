"""A request to show and to try: the first order that `openapi.yaml` gives an example of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.api.contract import operations, specification


@dataclass(frozen=True)
class Example:
    """A POST that makes a job."""

    path: str
    body: Mapping[str, Any]


def example() -> Example | None:
    """The first one, or None where the service takes no order yet."""
    for path, method, operation in operations():
        if method == "post" and "202" in operation["responses"]:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            schema = specification()["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
            if "example" in schema:
                return Example(path, schema["example"])
    return None

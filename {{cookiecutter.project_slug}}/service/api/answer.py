"""What a handler returns to Connexion."""

from collections.abc import Mapping
from typing import Any

Answer = tuple[Any, int, dict[str, str]]


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """JSON; the type is said because the errors of an operation have another."""
    return body, status, {"Content-Type": "application/json", **(headers or {})}

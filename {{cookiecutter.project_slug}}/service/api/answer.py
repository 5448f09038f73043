"""What a handler returns to Connexion."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from flask import request

# A private cache may keep the answer, and must ask each time before it shows it (RFC 9111, 5.2.2.4 and 5.2.2.7);
# `no-store` would leave it nothing to ask about. Each question carries a token, and another client's gets 404.
REVALIDATED = {"Cache-Control": "private, no-cache"}

Answer = tuple[Any, int, dict[str, str]]


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """JSON; the type is said because the errors of an operation have another."""
    return body, status, {"Content-Type": "application/json", **(headers or {})}


def unless_known(body: Any, headers: Mapping[str, str]) -> Answer:
    """As `answer`, or 304 without a body where the caller has just this one (RFC 9110, 13.1.2)."""
    tag = hashlib.sha256(json.dumps(body).encode()).hexdigest()[:32]
    headers = {**headers, **REVALIDATED, "ETag": f'"{tag}"'}
    # `W/` before a tag makes no difference here, nor what else is in the list, which takes long to take apart.
    known = request.headers.get("If-None-Match", "")
    if known.strip() == "*" or f'"{tag}"' in known:
        return answer(None, 304, headers)
    return answer(body, headers=headers)

"""The same endpoint for each peer that stands behind Flask: a bearer token, a validated body, 202."""

import hashlib
import hmac
import os
from collections.abc import Callable

from flask import Flask, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Order(BaseModel):
    """What the rendered service's example takes."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=200)
    rows: int = Field(ge=1, le=1_000_000)


def known(header: str) -> bool:
    """Whether a header brings the one token that opens; the service keeps a hash of it alone."""
    digest = hashlib.sha256(header.removeprefix("Bearer ").encode()).hexdigest()
    return hmac.compare_digest(digest, os.environ["TOKEN_SHA256"])


def flask(accept: Callable[[str, int], str]) -> Flask:
    """An application that orders a report by `accept`, which gives the job's id."""
    app = Flask("bench")

    @app.post("/v1/reports")
    def create() -> tuple[dict[str, str], int]:
        if not known(request.headers.get("Authorization", "")):
            return {"title": "Unauthorized"}, 401
        try:
            order = Order.model_validate(request.get_json())
        except ValidationError as error:
            return {"title": "Bad Request", "detail": str(error)}, 400
        return {"id": accept(order.title, order.rows), "state": "queued"}, 202

    return app

"""Errors as the caller sees them: problem details (RFC 9457), which tell what is wrong and nothing about the inside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from connexion import FlaskApp, ProblemException
from connexion.exceptions import Unauthorized
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from starlette.exceptions import HTTPException

from service.database import AWAY
from service.errors import Forbidden, ServiceError, StoreUnavailable, TooManyRequests
from service.observe.context import current_context

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

# Seconds after which a caller may ask again when the store did not answer.
RETRY_AFTER = 1

# What HTTP's own refusals mean here; the libraries' words repeat what was sent, or name their parts.
DETAILS = {
    404: "there is nothing at this path; the specification lists what there is",
    405: "the path exists, but not for this method; the Allow header names those it takes",
    415: "expected Content-Type to be application/json, in UTF-8 and not compressed",
}


@dataclass(frozen=True)
class Problem:
    """What one error looks like from outside; `members` are its own additions (RFC 9457, 3.2)."""

    status: int
    detail: str
    title: str = ""
    kind: str = "about:blank"
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The members in the order in which one reads them."""
        title = self.title or HTTPStatus(self.status).phrase
        said = {"type": self.kind, "title": title, "status": self.status, "detail": self.detail, **self.members}
        return said | {"request_id": current_context().get("request_id", "")}


def register(app: FlaskApp) -> None:
    """Answer every error of this application in this way."""
    # The first two have handlers of Connexion's, which would be found before that of Exception.
    for kind in (ProblemException, HTTPException, Exception):
        app.add_error_handler(kind, respond)


async def respond(request: ConnexionRequest, error: Exception) -> ConnexionResponse:  # noqa: ARG001
    """The answer to `error`."""
    problem = describe(error)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", exc_info=error)
    elif problem.status > HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("store unavailable", error=type(error).__name__, cause=str(getattr(error, "orig", "")).strip())
    body = json.dumps(problem.body(), separators=(",", ":"))
    return ConnexionResponse(problem.status, MEDIA_TYPE, MEDIA_TYPE, body, dict(problem.headers))


def describe(error: Exception) -> Problem:
    """What the caller is told about an error: of one that nobody foresaw, only how to find it in the logs."""
    match error:
        case ServiceError():
            kind = f"urn:problem-type:{error.title.lower().replace(' ', '-')}"
            members = {"field": error.field} if error.field else {}
            return Problem(error.status, error.detail, error.title, kind, members, _headers(error))
        case _ if isinstance(error, AWAY):
            return describe(StoreUnavailable())
        case Unauthorized():
            missing = error.detail == "No authorization token provided"
            challenge = "Bearer" if missing else 'Bearer error="invalid_token"'
            got = "no token" if missing else "a token that is not valid"
            detail = f"expected Authorization: Bearer TOKEN, got: {got}"
            return Problem(401, detail, headers={"WWW-Authenticate": challenge})
        # From 500 on it is a response that breaks the specification, for one: the caller can do nothing about it.
        case HTTPException() if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            detail = DETAILS.get(error.status_code) or str(error.detail)
            return Problem(error.status_code, detail, headers=error.headers or {})
    return Problem(500, "something went wrong here; tell the operator the request_id")


def _headers(error: ServiceError) -> Mapping[str, str]:
    if isinstance(error, Forbidden):
        return {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    return {"Retry-After": str(RETRY_AFTER)} if isinstance(error, StoreUnavailable) else {}

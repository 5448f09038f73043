"""Errors as the caller sees them."""

import pytest
from connexion import ProblemException
from connexion.exceptions import OAuthProblem, OAuthResponseProblem
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from service.api.problems import describe
from service.errors import Forbidden, InvalidRequest, JobNotFound, ServiceError, StoreUnavailable


def subclasses(kind: type[ServiceError]) -> list[type[ServiceError]]:
    """Every error of the service."""
    return [kind, *(each for below in kind.__subclasses__() for each in subclasses(below))]


@pytest.mark.parametrize("kind", subclasses(ServiceError))
def test_an_error_of_the_service(kind: type[ServiceError]) -> None:
    """Each has its status, a type of its own, and its docstring for a detail."""
    problem = describe(kind(field="rows"))
    assert problem.status == kind.status
    assert problem.body()["field"] == "rows"
    assert problem.kind.startswith("urn:problem-type:")
    assert problem.detail


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT 1", {}, Exception()),
        InterfaceError("SELECT 1", {}, Exception()),
        PoolTimeout(),
        StoreUnavailable(),
    ],
)
def test_a_database_that_is_away(error: Exception) -> None:
    """It is 503 with Retry-After, and no SQL."""
    problem = describe(error)
    assert (problem.status, "Retry-After" in problem.headers) == (503, True)
    assert "SELECT" not in problem.detail


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        KeyError("secret"),
        ProblemException(status=500, detail="secret"),
        HTTPException(500, "secret"),
    ],
)
def test_what_nobody_foresaw(error: Exception) -> None:
    """It is 500 and tells nothing."""
    problem = describe(error)
    assert problem.status == 500
    assert "secret" not in str(problem)


def test_a_refusal_of_http_keeps_its_headers() -> None:
    """405 says what is allowed."""
    assert describe(HTTPException(405, headers={"Allow": "GET"})).headers == {"Allow": "GET"}


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (OAuthProblem("No authorization token provided"), "Bearer"),
        (OAuthProblem("Invalid authorization header"), 'Bearer error="invalid_token"'),
        (OAuthResponseProblem("Provided token is not valid"), 'Bearer error="invalid_token"'),
        (Forbidden(), 'Bearer error="insufficient_scope"'),
    ],
)
def test_refused_callers_are_challenged(error: Exception, challenge: str) -> None:
    """401 and 403 say which credentials are wanted (RFC 6750)."""
    assert describe(error).headers["WWW-Authenticate"] == challenge


def test_the_order_of_members() -> None:
    """One reads the kind first and the request's id last."""
    members = list(describe(InvalidRequest("expected rows", field="rows")).body())
    assert members == ["type", "title", "status", "detail", "field", "request_id"]
    assert "field" not in describe(JobNotFound()).body()

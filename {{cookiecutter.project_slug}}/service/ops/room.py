"""The door of the operator's page: what is not for it goes on; what is comes from somebody who signed in."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import health, limits, problems, request
from service.api.deadline import Deadline
from service.api.tokens import Entry
from service.errors import Forbidden
from service.observe.context import bind
from service.ops import acts, pages, session, shown
from service.ops.visit import Act, Visit, demand_plain

log = structlog.get_logger()

# Bytes of a form, a token or a group of dead letters: 4 KiB of percent signs take a millisecond to read. Seconds for
# it, which at the end of the API are waited for. And characters of where to go then, which a form may write threefold.
MAX_FORM, FORM_SECONDS, MAX_GOAL = 4 * 1024, 5, 1000

# Pages that are made at once: each takes a connection to the database, which the API needs, too.
PAGES_AT_ONCE = 4

# Seconds after which a page that could not be shown is asked for again, by the browser itself.
COME_BACK = 3

FORGED = "expected a form of this page, sent from it, got: another; load the page again and repeat what you did"


class Room:
    """Answers `/ops` and what is below; passes on the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        few = CapacityLimiter(PAGES_AT_ONCE)
        routes = [Route(path, _reads(page, few)) for path, page in pages.PAGES.items()]
        routes += [Route(path, _writes(act), methods=["POST"]) for path, act in acts.ACTS.items()]
        routes += [
            Route("/ops/login", _login, methods=["POST"]),
            Route("/ops/logout", _logout, methods=["POST"]),
            Route("/ops/static/{name}", _static),
            Route("/{rest:path}", _nothing),
        ]
        # What the log may show of a path.
        request.SHOWN.update(name for route in routes for name in route.path.split("/"))
        self._inside = Deadline(Router(routes, redirect_slashes=False), look=health.database())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not f"{scope['path']}/".startswith("/ops/"):
            await self.app(scope, receive, send)
            return
        # For the log and the metrics, which know operations by name.
        scope.setdefault("extensions", {}).setdefault("connexion_routing", {})["operation_id"] = "ops"
        try:
            request.demand_plain(scope["query_string"], "query")
            await self._inside(scope, receive, send)
        except Exception as error:
            await _refusal(error, Request(scope))(scope, receive, send)


def _refusal(error: Exception, asked: Request) -> Response:
    problem = problems.describe(error)
    if problem.status >= 500:
        log.error("page failed", exc_info=error if problem.status == 500 else None, error=type(error).__name__)
    headers = dict(problem.headers)
    # Not a search, which may be what took so long.
    if problem.status == 503 and asked.method == "GET" and "text" not in asked.query_params:
        headers["Refresh"] = f"{COME_BACK}"
    return shown.page("problem.html", problem.status, headers, problem=problem, comes_back=COME_BACK)


def _reads(page: Act, few: CapacityLimiter) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        cookie = _cookie(request)
        entry = session.find(cookie)
        if entry is None:
            return _stranger(request)
        await _welcome(entry)
        key = session.form_key(cookie, entry)
        visit = Visit(request, entry, key, await health.broker()())
        return await to_thread.run_sync(page, visit, limiter=few)

    return endpoint


def _writes(act: Act) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        form = await _form(request)
        cookie = _cookie(request)
        entry = session.find(cookie)
        if entry is None:
            return _stranger(request)
        if not session.is_form_key(form.get("key", ""), cookie, entry):
            raise Forbidden(FORGED)
        await _welcome(entry)
        return await run_in_threadpool(act, Visit(request, entry, form["key"], form=form))

    return endpoint


async def _login(request: Request) -> Response:
    form = await _form(request)
    entry = session.exchange(form.get("token", "").strip())
    if entry is None:
        log.warning("token refused at the operator's page")
        return shown.page("login.html", 401, refused=True, goal=_goal(form.get("goal", "")))
    bind(client=entry.client, token_name=entry.name or None)
    log.info("operator signed in")
    response = RedirectResponse(_goal(form.get("goal", "")), 303)
    session.begin(response, entry)
    return response


async def _logout(request: Request) -> Response:
    await _form(request)
    response = RedirectResponse("/ops", 303)
    session.end(response)
    return response


async def _static(request: Request) -> Response:
    return shown.static(request.path_params["name"])


async def _nothing(_: Request) -> Response:
    raise HTTPException(404)


def _cookie(request: Request) -> str:
    """As it stands: Python before 3.11.10 and 3.12.6 takes half a second for a long quoted one (CVE-2024-7592)."""
    pairs = (part.strip().partition("=") for part in request.headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == session.COOKIE), "")


def _stranger(request: Request) -> Response:
    """Ask for a token; a link from elsewhere is followed once more first, since its cookie stayed behind.

    Unless it searches for a text: no other site is to have that done.
    """
    cheap = request.method == "GET" and "text" not in request.query_params
    elsewhere = request.headers.get("sec-fetch-site") == "cross-site" and cheap
    url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    goal = _goal(url if request.method == "GET" else "/ops")
    return shown.page("login.html", 401, {"Refresh": "0"} if elsewhere else {}, refused=False, goal=goal)


async def _welcome(entry: Entry) -> None:
    bind(client=entry.client, token_name=entry.name or None)
    await limits.demand_room(entry.client)


async def _form(asked: Request) -> dict[str, str]:
    """The fields of a form that this page's own forms sent.

    Raises:
        Forbidden: another page sent it.
        HTTPException: it is no form, too large, or too slow.
        InvalidRequest: it has too many fields, is not encoded as a form is, or holds a null.
    """
    if asked.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Forbidden(FORGED)
    if not asked.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415)
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for part in asked.stream():
                body += part
                if len(body) > MAX_FORM:
                    raise HTTPException(413, f"expected a form of at most {MAX_FORM} bytes, got: more")
    except TimeoutError as error:
        raise HTTPException(408, f"expected the form within {FORM_SECONDS} s, got: a part of it") from error
    request.demand_plain(bytes(body), "form")
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="replace"))
    demand_plain(fields)
    return fields


def _goal(path: str) -> str:
    """Where to go after signing in: within this page, or its front."""
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path
    here = len(path) <= MAX_GOAL and f"{path.partition('?')[0]}/".startswith("/ops/")
    return path if plain and here else "/ops"

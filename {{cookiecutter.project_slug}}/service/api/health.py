"""Health: whether this process lives, and whether it can accept work."""

import asyncio
import functools

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.answer import Answer, answer
from service.api.probe import Probe
from service.api.problems import MEDIA_TYPE, RETRY_AFTER, Problem
from service.config import settings


async def live() -> Answer:
    """The process answers, so it lives."""
    return answer({"status": "alive", "version": settings().service_version})


async def ready(store: Probe[str] | None = None, bell: Probe[str] | None = None) -> Answer:
    """Work can be accepted as long as the database is there, and not older than this code."""
    schema, doorbell = await asyncio.gather((store or database())(), (bell or broker())())
    parts = {"database": "down" if schema == "unknown" else "up", "schema": schema, "broker": doorbell}
    parts["version"] = settings().service_version
    if schema in {"current", "newer"}:
        return answer(parts)
    older = "the database is older than this version; run `python -m service migrate`"
    detail = older if schema == "older" else "the database does not answer"
    problem = Problem(503, detail, "Not ready", "urn:problem-type:not-ready", parts)
    return problem.body(), 503, {"Content-Type": MEDIA_TYPE, "Retry-After": str(RETRY_AFTER)}


class Beside:
    """Answers health on the event loop, beside the threads: these may all be waiting for the database."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._handlers = {f"{handler.__module__}.{handler.__name__}": handler for handler in (live, ready)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer if it is health that is asked for; pass on the rest."""
        handler = self._handlers.get(scope["extensions"]["connexion_routing"].get("operation_id"))
        if handler is None:
            await self.app(scope, receive, send)
            return
        body, status, headers = await handler()
        await JSONResponse(body, status, headers)(scope, receive, send)


@functools.cache
def database() -> Probe[str]:
    """Looks at the database: "current", "newer" or "older" by its schema, "unknown" while it does not answer."""
    return Probe(_schema, "unknown")


@functools.cache
def broker() -> Probe[str]:
    """Looks at the broker: "up" or "down"."""
    from service.jobs.doorbell import Bell

    bell = Bell()

    def look() -> str:
        bell.depth(next(iter(settings().queues)))
        return "up"

    return Probe(look, "down")


def _schema() -> str:
    from service import schema

    if schema.behind():
        return "older"
    return "current" if schema.current() in schema.known() else "newer"

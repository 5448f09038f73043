"""From the event loop to Flask and back: one thread for a request, which is given whole and answered in one piece."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from functools import partial
from io import BytesIO
from typing import Any

from a2wsgi.wsgi import build_environ
from connexion.apps.flask import FlaskASGIApp
from starlette.types import Message, Receive, Scope, Send

from service.database import CONNECTIONS

# Handlers that run at once: each with a connection of the database that stays open.
THREADS = CONNECTIONS


class Bridge:
    """Stands last, in place of Connexion's bridge, which goes to and fro five times for a request."""

    def __init__(self, app: FlaskASGIApp) -> None:
        self._app, self._threads = app, ThreadPoolExecutor(THREADS, "handlers")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # It was read whole before it was validated.
        environ = build_environ(scope, BytesIO((await receive())["body"]))  # type: ignore[arg-type]
        work = partial(copy_context().run, self._answer, environ)
        start, body = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        # Comes back when the caller has read most of it: until then this is one of its answers that are under way.
        await send({"type": "http.response.body"})

    def _answer(self, environ: Any) -> tuple[Message, bytes]:
        said: list[Any] = []
        with closing(self._app.app.wsgi_app(environ, lambda *head: said.extend(head))) as chunks:
            body = b"".join(chunks)
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in said[1]]
        return {"type": "http.response.start", "status": int(said[0].partition(" ")[0]), "headers": headers}, body

"""The application: Connexion on Flask, built from `openapi.yaml`, and the start of its process."""

import json
import os
from typing import Any

import structlog
from connexion import FlaskApp
from connexion.jsonifier import Jsonifier
from connexion.middleware import ConnexionMiddleware, MiddlewarePosition
from connexion.options import SwaggerUIOptions

from service import NAME, schema
from service.api import auth, health, limits, problems, server
from service.api.body import JSON, WholeBody
from service.api.bridge import Bridge
from service.api.contract import specification
from service.api.deadline import Deadline
from service.api.request import Envelope, PlainPaths
from service.api.tokens import SCOPES, mint
from service.api.validation import Body, Parameters
from service.config import settings
from service.jobs import doorbell
from service.ops.room import Room

log = structlog.get_logger()

# Seconds, at the end, for doorbells that are not rung yet.
FLUSH_SECONDS = 1.0


def create_app() -> FlaskApp:
    """Build the application whole, so that an operation without its function stops the start."""
    documented = settings().environment != "production"
    pages = SwaggerUIOptions(swagger_ui=documented, swagger_ui_path="/docs", serve_spec=documented)
    options: Any = {"jsonifier": Jsonifier(json, separators=(",", ":")), "swagger_ui_options": pages}
    options |= {"strict_validation": True, "validator_map": {"body": {JSON: Body}, "parameter": Parameters}}
    app = FlaskApp(NAME, middlewares=[*ConnexionMiddleware.default_middlewares, Bridge], **options)
    app.add_api(specification())
    problems.register(app)
    app.add_middleware(Envelope, position=MiddlewarePosition.BEFORE_EXCEPTION)
    app.add_middleware(Room, position=MiddlewarePosition.BEFORE_EXCEPTION)
    app.add_middleware(PlainPaths, position=MiddlewarePosition.BEFORE_SWAGGER)
    app.add_middleware(limits.FewAtATime, position=MiddlewarePosition.BEFORE_VALIDATION)
    app.add_middleware(WholeBody, position=MiddlewarePosition.BEFORE_VALIDATION)
    app.add_middleware(health.Beside, position=MiddlewarePosition.BEFORE_CONTEXT)
    app.add_middleware(Deadline, position=MiddlewarePosition.BEFORE_CONTEXT, look=health.database())
    # Connexion would build the stack at the first request, and answer each with 500 where it cannot.
    middleware = app.middleware
    middleware.app, middleware.middleware_stack = middleware._build_middleware_stack()
    return app


def run() -> None:
    """Be the `api` role until it is told to stop.

    Raises:
        WrongSettings: tokens are missing or malformed.
        StartRefused: the database is away or too old, or the address is taken.
    """
    keyring = auth.keyring()
    log.info("limits", requests=limits.describe(settings()), waiting_jobs=settings().max_waiting_jobs)
    schema.demand_current()
    app = create_app()
    listening = server.listen(settings().host, settings().port)
    for _, held in keyring.entries():
        if held.standing != "good":
            log.warning("token " + held.standing, client=held.client, token_name=held.name, last_day=str(held.last_day))
    if not keyring.entries():
        token, entry = mint("dev", SCOPES, name="this-run")
        keyring.add(entry)
        _greet(server.address(listening), token)
    server.serve(app, listening)
    # What was accepted last may not be published yet; the reconciler would find it, but later.
    doorbell.flush(FLUSH_SECONDS)


def _greet(address: str, token: str) -> None:
    # Not a log line: it holds a secret, and is for the person at the terminal.
    curl = f"curl -i {address}/v1/jobs -H 'Authorization: Bearer {token}'"
    text = f"API_TOKENS is not set, so here is a token for this run:\n  {curl}\nDocumentation: {address}/docs\n"
    os.write(1, text.encode())

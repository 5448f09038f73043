"""Holding a request against the specification, in place of Connexion's validators.

Theirs print the schema and repeat what was sent; these name the field and say what was expected.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connexion.json_schema import Draft4RequestValidator
from connexion.lifecycle import ConnexionRequest
from connexion.validators import JSONRequestBodyValidator, ParameterValidator
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.types import Receive, Scope

from service.api import turns
from service.api.formats import FORMATS
from service.errors import InvalidRequest

# Characters of what was sent that an answer repeats at most.
ECHO = 40

# What no store takes, and how JSON in UTF-8 has to write it: as an escape.
ODD = re.compile("[\0\ud800-\udfff]")
ODD_ESCAPED = re.compile(rb"\\u(0000|[dD][89a-fA-F])")

# Made once for each schema, of which the specification has so many; by its address, as it lives on with its validator.
VALIDATORS: dict[int, Any] = {}

# How a number stands in a query.
DIGITS = re.compile("-?[0-9]{1,18}")

# Levels of a JSON body; what an operation takes has two or three.
MAX_DEPTH = 32
CONTAINERS, HOLDERS = (dict, list), (dict, list, str)

# Headers that are lists, and may come in parts (RFC 9110, 5.3).
LISTS = ("If-None-Match",)

RULES = {"maximum": "at most {}", "minimum": "at least {}", "pattern": "like {}", "type": "of type {}"}
RULES |= {"maxLength": "at most {} characters long", "minLength": "at least {} characters long"}
FORMAT_RULES = {"uri": "an absolute URL", "uuid": "a UUID"}
FORMAT_RULES |= {"date-time": "a time with its zone, like 2030-01-31T09:30:00Z"}


class Body(JSONRequestBodyValidator):  # type: ignore[misc]  # Connexion has no types
    """JSON that this service can read in one way only, and store."""

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        """Validate the body that is on its way."""
        if self._required and Headers(scope=scope)["content-length"] == "0":
            raise InvalidRequest("expected a body, got: nothing", field="body")
        self._ask = receive
        wrapped: tuple[Receive, Scope] = await super().wrap_receive(receive, scope=scope)
        return wrapped

    async def _parse(self, stream: Any, scope: Scope) -> Any:
        raw = b"".join([part async for part in stream])
        return await turns.take(Request(scope, self._ask), raw, self._read)

    def _read(self, raw: bytes) -> Any:
        body = _load(raw)
        shallow(body)
        # Before the schema, which could say this only as a pattern.
        for path, text in strings(body) if ODD_ESCAPED.search(raw) else ():
            if ODD.search(text):
                name = short(path) or "body"
                raise InvalidRequest(f"expected {name} to hold no null and no half characters", field=name)
        check(body, self._schema)
        return body

    def _validate(self, body: Any) -> None:
        """It was, as it was read."""


class Parameters(ParameterValidator):  # type: ignore[misc]
    """Parameters in the path, the query and the headers."""

    def validate_request(self, request: ConnexionRequest) -> None:
        """Refuse what is unknown, repeated, missing or wrong."""
        query = QueryParams(request.scope["query_string"])
        known = sorted(parameter["name"] for parameter in self.parameters["query"])
        for name in query:
            if name not in known:
                choice = ", ".join(known) or "no query parameters"
                raise InvalidRequest(f"expected {choice}, got: {short(name)}", field=short(name))
        sent = {"query": request.query_params, "path": request.path_params, "header": request.headers}
        parts = {"query": query, "header": request.headers}
        for place, parameters in self.parameters.items():
            for parameter in parameters:
                name, schema = parameter["name"], parameter["schema"]
                value, written = sent[place].get(name), parts[place].getlist(name) if place in parts else []
                if len(written) > 1 and name not in LISTS:
                    raise InvalidRequest(f"expected {name} once, got it again", field=name)
                # Python reads more than digits as a number, and other digits than these.
                if schema.get("type") == "integer" and not all(map(DIGITS.fullmatch, written)):
                    said = f"expected {name} to be of type integer, got: {_describe(written[0])}"
                    raise InvalidRequest(said, field=name)
                if value is not None:
                    check(value, schema, name)
                elif parameter.get("required"):
                    raise InvalidRequest(f"expected {name} in the {place}, got: nothing", field=name)


def check(value: Any, schema: Mapping[str, Any], name: str = "") -> None:
    """Hold a value against its schema.

    Raises:
        InvalidRequest: at the first fault, naming the field.
    """
    made = VALIDATORS.get(id(schema))
    if made is None or made.schema is not schema:
        made = VALIDATORS[id(schema)] = Draft4RequestValidator(schema, format_checker=FORMATS)
    for fault in made.iter_errors(value):
        field = short(".".join(filter(None, [name, *map(str, fault.absolute_path)])))
        raise _refusal(fault, field)


def shallow(value: Any) -> None:
    """Refuse what is nested more deeply than anyone needs, before something recurses into it.

    Raises:
        InvalidRequest: it is.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [part for part in level if part and isinstance(part, CONTAINERS)]
        if not containers:
            return
        level = [item for part in containers for item in (part.values() if isinstance(part, dict) else part)]
    raise _too_deep()


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a JSON value, keys included, with its path, of which as much as `short` looks at."""
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        if isinstance(value, dict):
            yield from ((path, key) for key in value)
        if isinstance(value, CONTAINERS):
            pairs: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
            # What is empty, or a number, holds none, and there may be very many.
            pairs = ((key, item) for key, item in pairs if item and isinstance(item, HOLDERS))
            waiting += [((f"{path}.{key}" if path else str(key))[: ECHO + 1], item) for key, item in pairs]


def short(text: str) -> str:
    """The text, cut to what an answer may repeat."""
    return text if len(text) <= ECHO else f"{text[:ECHO]}…"


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"expected the body to be nested at most {MAX_DEPTH} levels deep, got: more", field="body")


def _load(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise InvalidRequest("expected the body to be UTF-8, got: other bytes", field="body") from error
    except RecursionError as error:
        raise _too_deep() from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"expected the body to be JSON, got: {error.msg} ({where})", field="body") from error
    except ValueError as error:
        raise InvalidRequest("expected numbers of a sensible length", field="body") from error


def _refusal(fault: Any, field: str) -> InvalidRequest:
    rule, value = str(fault.validator), fault.validator_value
    prefix = f"{field}." if field else ""
    if rule == "required":
        missing = prefix + next(name for name in value if name not in fault.instance)
        return InvalidRequest(f"expected {missing}, got: nothing", field=missing)
    if rule == "additionalProperties":
        known: Mapping[str, Any] = fault.schema.get("properties", {})
        extra = short(prefix + next(name for name in fault.instance if name not in known))
        return InvalidRequest(f"expected only {', '.join(known)}, got: {extra}", field=extra)
    if rule == "enum":
        expected = f"one of {', '.join(map(str, value))}"
    elif rule == "format":
        expected = FORMAT_RULES.get(value, f"a {value}")
    else:
        expected = RULES.get(rule, f"valid ({rule})").format(value)
    field = field or "body"
    return InvalidRequest(f"expected {field} to be {expected}, got: {_describe(fault.instance)}", field=field)


def _describe(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str) and len(value) > ECHO:
        return f"{len(value)} characters"
    return short(json.dumps(value))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = short(Counter(name for name, _ in pairs).most_common(1)[0][0])
        raise InvalidRequest(f"expected {twice} once, got it again", field=twice)
    return made


def _refuse_constant(name: str) -> None:
    raise InvalidRequest(f"expected JSON, which has no {name}", field="body")

"""Holding a request against the specification, in place of Connexion's validators.

Theirs print the schema and repeat what was sent; these name the field and say what was expected.
"""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl

from connexion.json_schema import Draft4RequestValidator
from connexion.lifecycle import ConnexionRequest
from connexion.validators import JSONRequestBodyValidator, ParameterValidator
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from service.api.formats import FORMATS
from service.errors import InvalidRequest

# Characters of what was sent that an answer repeats at most.
ECHO = 40

# Bytes of a body that is read at once; larger ones take turns in a thread, and each client has one of them there.
SMALL = 16 * 1024
LARGE = ThreadPoolExecutor(1, "large-bodies")
TURNS = defaultdict[str, asyncio.Lock](asyncio.Lock)

# Levels of a JSON body; what an operation takes has two or three.
MAX_DEPTH = 32

# Headers that are lists, and may come in parts (RFC 9110, 5.3).
LISTS = ("If-None-Match",)

RULES = {
    "maximum": "at most {}",
    "minimum": "at least {}",
    "maxLength": "at most {} characters long",
    "minLength": "at least {} characters long",
    "pattern": "like {}",
    "type": "of type {}",
}
FORMAT_RULES = {
    "date-time": "a time with its zone, like 2030-01-31T09:30:00Z",
    "uri": "an absolute URL",
    "uuid": "a UUID",
}


class Body(JSONRequestBodyValidator):  # type: ignore[misc]  # Connexion has no types
    """JSON that this service can read in one way only, and store."""

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        """Validate the body that is on its way."""
        if self._required and Headers(scope=scope)["content-length"] == "0":
            raise InvalidRequest("expected a body, got: nothing", field="body")
        wrapped: tuple[Receive, Scope] = await super().wrap_receive(receive, scope=scope)
        return wrapped

    async def _parse(self, stream: Any, scope: Scope) -> Any:
        raw = b"".join([part async for part in stream])
        if len(raw) < SMALL:
            return self._read(raw)
        # Beside the event loop, one at a time: a large body can take a second, and nobody else should wait for it.
        async with TURNS[scope["extensions"]["connexion_context"]["user"]]:
            return await asyncio.get_running_loop().run_in_executor(LARGE, self._read, raw)

    def _read(self, raw: bytes) -> Any:
        body = _load(raw)
        shallow(body)
        # Before the schema, which could say this only as a pattern.
        for path, text in strings(body):
            if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
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
        self._check_names(request.scope["query_string"].decode("latin-1"))
        sent: dict[str, Mapping[str, Any]] = {
            "query": request.query_params,
            "path": request.path_params,
            "header": request.headers,
        }
        for place, parameters in self.parameters.items():
            for parameter in parameters:
                name = parameter["name"]
                if place == "header" and name not in LISTS and len(request.headers.getlist(name)) > 1:
                    raise InvalidRequest(f"expected {name} once, got it again", field=name)
                value = sent[place].get(name)
                if value is not None:
                    check(value, parameter["schema"], name)
                elif parameter.get("required"):
                    raise InvalidRequest(f"expected {name} in the {place}, got: nothing", field=name)

    def _check_names(self, query: str) -> None:
        known = {parameter["name"] for parameter in self.parameters["query"]}
        seen = set()
        for name, _ in parse_qsl(query, keep_blank_values=True):
            if name not in known:
                choice = ", ".join(sorted(known)) or "no query parameters"
                raise InvalidRequest(f"expected {choice}, got: {short(name)}", field=short(name))
            if name in seen:
                raise InvalidRequest(f"expected {name} once, got it again", field=name)
            seen.add(name)


def check(value: Any, schema: Mapping[str, Any], name: str = "") -> None:
    """Hold a value against its schema.

    Raises:
        InvalidRequest: at the first fault, naming the field.
    """
    for fault in Draft4RequestValidator(schema, format_checker=FORMATS).iter_errors(value):
        field = short(".".join(filter(None, [name, *map(str, fault.absolute_path)])))
        raise _refusal(fault, field)


def shallow(value: Any) -> None:
    """Refuse what is nested more deeply than anyone needs, before something recurses into it.

    Raises:
        InvalidRequest: it is.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [part for part in level if isinstance(part, dict | list)]
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
            continue
        pairs: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, dict):
            yield from ((path, key) for key in value)
            pairs = value.items()
        elif isinstance(value, list):
            pairs = enumerate(value)
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
        counted = Counter(name for name, _ in pairs)
        twice = short(next(name for name in counted if counted[name] > 1))
        raise InvalidRequest(f"expected {twice} once, got it again", field=twice)
    return made


def _refuse_constant(name: str) -> None:
    raise InvalidRequest(f"expected JSON, which has no {name}", field="body")

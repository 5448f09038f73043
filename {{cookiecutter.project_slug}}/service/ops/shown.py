"""How things are shown: everything is text, of a bounded length, and isolated from the direction of what is around."""

import functools
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service import NAME
from service.config import settings
from service.jobs.query import COUNT_CAP

# Nothing but the page's own two files is loaded, and nothing inline is run.
POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

# Characters of one value that a page shows.
MAX_SHOWN = 20_000

STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


def page(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
    """A page of `templates/`; `visit` is None where nobody signed in."""
    text = _environment().get_template(template).render({"visit": None} | values)
    return Response(text, status, {"Content-Security-Policy": POLICY, **(headers or {})}, "text/html")


def static(name: str) -> Response:
    """A file of `static/`, by a name that changes with it."""
    if name not in STATIC:
        raise HTTPException(404)
    return Response(_file(name), headers={"Cache-Control": "public, max-age=86400"}, media_type=STATIC[name])


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("service.ops"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: "" if value is None else value,
    )
    made.filters |= {"clip": clip, "span": span, "count": count, "pretty": pretty, "utc": utc}
    made.globals |= {"service": NAME, "version": settings().service_version, "asset": _asset}
    return made


def clip(value: object, most: int = MAX_SHOWN) -> str:
    """Text of a bounded length, which says how much is left out."""
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def pretty(value: object) -> str:
    """JSON for people."""
    return clip(json.dumps(value, indent=2, ensure_ascii=False))


def count(number: int) -> str:
    """A number that was counted up to a cap."""
    return f"{COUNT_CAP:,}+" if number >= COUNT_CAP else f"{number:,}"


def span(length: timedelta | float) -> str:
    """A length of time in its two largest units; a number is seconds."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86_400)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s" if minutes < 10 else f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{days} d {hours % 24} h"


def utc(moment: datetime) -> str:
    """A moment to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _asset(name: str) -> str:
    return f"/ops/static/{name}?{hashlib.sha256(_file(name)).hexdigest()[:8]}"


@functools.cache
def _file(name: str) -> bytes:
    return Path(__file__).with_name("static").joinpath(name).read_bytes()

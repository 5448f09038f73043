"""The one HTTP client for third parties: it has limits of time and size, and follows no redirect.

Where a redirect leads was not checked by whoever gave the URL, and a POST would become a GET on the way.
Proxies of the environment are ignored: a proxy resolves names itself, so what it connects to could not be checked.
"""

import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from service import NAME
from service.errors import AddressRefused, UpstreamError, UpstreamRefused
from service.jobs.shapes import upstreams
from service.outbound import hosts
from service.outbound.guard import parse
from service.outbound.transport import MORE, SMALL, Transport, tls

# Seconds for a whole call, from looking up the name to the last byte, and the bytes of an answer that are read.
TOTAL_SECONDS = 10.0
MAX_ANSWER = 1024 * 1024

# Seconds that a third party may ask to be left alone at once.
MAX_RETRY_AFTER = 86_400.0

# An answer of few bytes could unpack to any number, so none is to be packed.
OPTIONS: Any = {"trust_env": False, "headers": {"User-Agent": NAME, "Accept-Encoding": "identity"}}
# No cookie is wanted, and to take those apart that somebody sends can take half a minute.
OPTIONS["cookies"] = CookieJar(DefaultCookiePolicy(netscape=False, rfc2965=False))

NETWORK_ERRORS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)


def call(
    method: str,
    url: str,
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    seconds: float = TOTAL_SECONDS,
    max_answer: int = MAX_ANSWER,
) -> httpx.Response:
    """Send one request; gives the answer, whatever its status, with at most `max_answer` bytes; 0 leaves it unread.

    Raises:
        Postpone: the host has a limit (UPSTREAMS), and it is not this job's turn; it waits in its row, in no worker.
        UpstreamError: the network failed, the time was over, or the answer was too large; worth another attempt.
        UpstreamRefused: the address is not public.
    """
    try:
        host, name = parse(url).netloc.decode(), parse(url).raw_host.decode()
        # Before the turn, lest the call comes after it.
        tls()
        with upstreams.turn(name, seconds), httpx.Client(transport=Transport(seconds, max_answer), **OPTIONS) as client:
            with client.stream(method, url, content=content, headers=headers) as answer:
                upstreams.spare(name, answer.status_code, retry_after(answer))
                body = _read(answer, max_answer)
            return httpx.Response(answer.status_code, headers=_plain(answer), content=body, request=answer.request)
    except AddressRefused as error:
        raise UpstreamRefused(error.detail) from error
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, *NETWORK_ERRORS) as error:
        raise UpstreamError(f"{type(error).__name__} from {host}: {error}") from error


def post_json(url: str, body: Mapping[str, Any], *, idempotency_key: str, **options: Any) -> httpx.Response:
    """Post `body` as JSON for the job that has this id; gives a 2xx answer. The other options are those of `call`.

    Raises:
        Postpone: the host is in trouble, and others are before this job; it waits in its row, in no worker.
        UpstreamError: as for `call`, or the answer was 5xx, 408 or 429; worth another attempt.
        UpstreamRefused: any other answer, a redirect among them, or an address that is not public.
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
    with hosts.turn(url, idempotency_key, options.get("seconds", TOTAL_SECONDS)):
        answer = call("POST", url, content=json.dumps(body).encode(), headers=headers, **options)
        said = f"{answer.status_code} from {answer.request.url.netloc.decode()}"
        if answer.status_code >= 500 or answer.status_code in {408, 429}:
            raise UpstreamError(said, retry_after=retry_after(answer))
    if not answer.is_success:
        raise UpstreamRefused(f"{said}; another attempt would be refused again")
    return answer


def retry_after(answer: httpx.Response) -> float | None:
    """Retry-After in seconds, a day at most; it may be a number or a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "")
    try:
        wait = float(value) if value.isdigit() else (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (OverflowError, TypeError, ValueError):
        return None
    return min(max(wait, 0.0), MAX_RETRY_AFTER)


def _read(answer: httpx.Response, at_most: int) -> bytes:
    body, work = bytearray(), 0
    for part in answer.iter_raw() if at_most else ():
        body += part
        # A part of one byte takes as long as one of hundreds.
        work += max(len(part), SMALL)
        if len(body) > at_most or work > 2 * at_most + MORE:
            raise httpx.DecodingError(f"expected an answer of at most {at_most} bytes, in large parts, got: more")
    return bytes(body)


def _plain(answer: httpx.Response) -> httpx.Headers:
    # What was packed all the same stays as it came: unpacking it here would be the bomb.
    packed = (b"content-encoding", b"transfer-encoding")
    return httpx.Headers([(name, value) for name, value in answer.headers.raw if name.lower() not in packed])

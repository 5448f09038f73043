"""The one HTTP client for third parties: it always has timeouts, follows no redirect, and tells what may pass."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from service import NAME
from service.errors import AddressRefused, UpstreamError, UpstreamRefused
from service.outbound.guard import check_url

# Seconds: to connect, and between two pieces of an answer.
TIMEOUT = httpx.Timeout(5.0, connect=3.0)


def post_json(url: str, body: Mapping[str, Any], *, idempotency_key: str) -> httpx.Response:
    """Post `body` as JSON; gives a 2xx or 3xx answer.

    Raises:
        UpstreamError: the network failed, or the answer was 5xx, 408 or 429; worth another attempt.
        UpstreamRefused: any other 4xx, or an address that is not public.
    """
    try:
        check_url(url)
        with httpx.Client(timeout=TIMEOUT, headers={"User-Agent": NAME}) as client:
            answer = client.post(url, json=dict(body), headers={"Idempotency-Key": idempotency_key})
    except AddressRefused as error:
        raise UpstreamRefused(error.detail) from error
    except httpx.TransportError as error:
        raise UpstreamError(f"{type(error).__name__} from {httpx.URL(url).host}") from error
    if answer.status_code >= 500 or answer.status_code in {408, 429}:
        raise UpstreamError(f"{answer.status_code} from {answer.url.host}", retry_after=_retry_after(answer))
    if answer.status_code >= 400:
        raise UpstreamRefused(f"{answer.status_code} from {answer.url.host}; another attempt would be refused again")
    return answer


def _retry_after(answer: httpx.Response) -> float | None:
    """Retry-After in seconds, which may be a number or a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "")
    try:
        return float(value) if value.isdigit() else (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except ValueError:
        return None

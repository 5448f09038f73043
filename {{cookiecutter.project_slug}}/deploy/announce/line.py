"""Speaking HTTP to a channel with an end in sight, and what went wrong in words that give no secret away."""

import ssl
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import httpx

# Seconds that all channels together have for one piece of news, and those of them that a channel's calls have.
LIMIT_SECONDS, CALL_SECONDS = 5.0, 4.5
# Seconds to wait when a channel says 429 and not for how long.
PAUSE_SECONDS = 1.0

SLOW = f"no answer within {LIMIT_SECONDS:g} s"


class Odd(Exception):
    """The channel answered, and not as it should; the words come from us, or are a code of the channel's."""


class Line:
    """Calls that share one deadline, a moment of the monotonic clock."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline - LIMIT_SECONDS + CALL_SECONDS
        self._client = httpx.Client(verify=_trusted())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(
        self, method: str, url: str, headers: Mapping[str, str], body: Any = None, **params: str
    ) -> httpx.Response:
        """One call, and again when the channel asks for patience that we have.

        Raises:
            httpx.HTTPError: not reached, or no answer in time.
            Odd: any other answer than 2xx.
        """
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise httpx.ReadTimeout(SLOW)
            answer = self._client.request(method, url, headers=headers, json=body, params=params, timeout=left)
            if answer.is_success:
                return answer
            wait = _seconds(answer.headers.get("retry-after", ""))
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS or time.monotonic() + wait > self._deadline:
                raise Odd(f"status {answer.status_code}")
            time.sleep(wait)


def trouble(error: Exception) -> str:
    """What kind of failure it was; never its own words, which may hold an address or a token."""
    if isinstance(error, Odd):
        return str(error)
    if isinstance(error, httpx.TimeoutException):
        return SLOW
    if isinstance(error, httpx.NetworkError):
        return f"not reached ({type(error).__name__})"
    return type(error).__name__


@cache
def _trusted() -> ssl.SSLContext:
    # Reading all authorities takes longer than a call, and would be done for each piece of news.
    return httpx.create_ssl_context()


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else PAUSE_SECONDS

"""Notifications over HTTP: ordered for addresses that may be called."""

from typing import Any

import httpx
import pytest

from tests.contract.orders import Orders

BODY: dict[str, Any] = {"url": "http://127.0.0.1:9/hook", "message": "hi"}


class TestOrder(Orders):
    path, body, task = "/v1/notifications", BODY, "notifications.send"


def test_a_private_address_is_refused(anna: httpx.Client) -> None:
    """An address that is neither public nor allowed is refused at once."""
    refused = anna.post("/v1/notifications", json={**BODY, "url": "http://169.254.169.254/latest"})
    assert (refused.status_code, refused.json()["field"]) == (422, "url")


@pytest.mark.parametrize(
    "url",
    [
        "hook",
        "ftp://example.com/",
        "http://",
        "http:///path",
        "http://a b/",
        "http://h:99999/",
        "http://[::1",
        "//h/",
    ],
)
def test_a_wrong_url(anna: httpx.Client, url: str) -> None:
    """A URL that is none is refused before anybody looks up its host."""
    refused = anna.post("/v1/notifications", json={**BODY, "url": url})
    assert (refused.status_code, refused.json()["field"]) == (400, "url")

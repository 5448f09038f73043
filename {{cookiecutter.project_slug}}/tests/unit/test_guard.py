"""Outbound calls go to public addresses, and to what is allowed."""

import pytest

from service import config
from service.errors import AddressRefused
from service.outbound.guard import check_url


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1")
    monkeypatch.setenv("ENVIRONMENT", "test")
    monkeypatch.setenv("OUTBOUND_ALLOW", "10.1.0.0/16, allowed.localhost")
    config.settings.cache_clear()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest", "http://10.2.0.1/", "http://192.168.0.1/",
        "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://224.0.0.1/", "http://100.64.0.1/",
        "ftp://example.com/", "http://user:password@8.8.8.8/", "http:///path", "http://[broken/", "//8.8.8.8/",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_by_the_name_of_its_field(url: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        check_url(url)
    assert caught.value.field == "url"


@pytest.mark.parametrize("url", ["https://8.8.8.8/hook", "http://10.1.2.3:8080/", "http://allowed.localhost/"])
def test_public_and_allowed_addresses_pass(url: str) -> None:
    check_url(url)

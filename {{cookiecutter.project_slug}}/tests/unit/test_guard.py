"""Outbound calls go to public addresses, and to what is allowed."""

import socket
import threading
from typing import Any

import pytest

from service import config
from service.errors import AddressRefused
from service.outbound import guard
from service.outbound.guard import check_url


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1")
    monkeypatch.setenv("ENVIRONMENT", "test")
    monkeypatch.setenv("OUTBOUND_ALLOW", "10.1.0.0/16, allowed.localhost, fd00:1::/32")
    config.settings.cache_clear()


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("10.2.0.1", id="private"),
        pytest.param("192.168.0.1", id="at home"),
        pytest.param("100.64.0.1", id="a carrier's"),
        pytest.param("0.0.0.0", id="unspecified"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("169.254.169.254", id="metadata"),
        pytest.param("100.100.100.200", id="Alibaba's metadata"),
        pytest.param("168.63.129.16", id="Azure's metadata"),
        pytest.param("192.0.0.192", id="Oracle's metadata"),
        pytest.param("161.26.0.10", id="IBM Cloud's name server"),
        pytest.param("166.9.16.60", id="IBM Cloud's private services"),
        pytest.param("[fd00:ec2::254]", id="Amazon's metadata over IPv6"),
        pytest.param("2130706433", id="decimal"),
        pytest.param("0x7f000001", id="hexadecimal"),
        pytest.param("0177.0.0.1", id="octal"),
        pytest.param("127.1", id="short"),
        pytest.param("127.0.0.1.", id="a trailing dot"),
        pytest.param("localhost", id="a name"),
        pytest.param("localhost.", id="a name with a trailing dot"),
        pytest.param("LOCALHOST", id="a name in capitals"),
        pytest.param("\uff11\uff12\uff17.0.0.1", id="wide digits"),
        pytest.param("[::1]", id="loopback over IPv6"),
        pytest.param("[::]", id="unspecified over IPv6"),
        pytest.param("[::127.0.0.1]", id="IPv4-compatible"),
        pytest.param("[::ffff:127.0.0.1]", id="IPv4-mapped"),
        pytest.param("[::ffff:a00:1]", id="IPv4-mapped, in hex"),
        pytest.param("[64:ff9b::7f00:1]", id="NAT64"),
        pytest.param("[64:ff9b:1::808:808]", id="a network's own NAT64"),
        pytest.param("[2002:7f00:1::]", id="6to4"),
        pytest.param("[2001:0:7f00:1::]", id="Teredo"),
        pytest.param("[2001:db8::1]", id="documentation"),
        pytest.param("[fe80::1]", id="link-local"),
        pytest.param("[fec0::1]", id="site-local"),
        pytest.param("[fd12:3456::1]", id="unique local"),
        pytest.param("[ff02::1]", id="multicast over IPv6"),
        pytest.param("[100::1]", id="discarded"),
        pytest.param("[5f00::1]", id="segment routing"),
    ],
)
def test_a_host_that_is_not_public_is_refused_by_the_name_of_its_field(host: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        check_url(f"http://{host}/hook", "callback_url")
    assert caught.value.field == "callback_url"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "http://user:password@8.8.8.8/",
        "http://8.8.8.8@127.0.0.1/",
        "http://user@8.8.8.8/",
        "http:///path",
        "http://[broken/",
        "http://[fe80::1%25lo]/",
        "http://a b/",
        "//8.8.8.8/",
        "http://8.8.8.8:99999/",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://127.0.0.1#@8.8.8.8/",
        "http://127.0.0.1?@8.8.8.8/",
    ],
)
def test_a_url_that_is_not_plain_http_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        check_url(url)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    "url",
    [
        "https://8.8.8.8/hook",
        "https://[2606:4700::1111]/hook",
        "http://[64:ff9b::808:808]/",
        "http://10.1.2.3:8080/",
        "http://[fd00:1::5]/",
        "http://allowed.localhost/",
        "http://ALLOWED.localhost./",
        "https://no-such-name.invalid/",
    ],
)
def test_public_and_allowed_addresses_pass_and_so_does_a_name_that_is_nowhere_yet(url: str) -> None:
    check_url(url)


def test_a_name_that_stands_for_one_private_address_among_public_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The answer of a name server is all that is made up here; without root no name server of the test's own is asked.
    def answer(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(AddressRefused):
        check_url("https://mixed.example.com/")


def test_of_thousands_of_addresses_a_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    # As above.
    many = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"8.8.{n // 256}.{n % 256}", 443)) for n in range(4000)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: many)
    assert guard.resolve("many.example.com", 443, 5) == [entry[4][0] for entry in many[: guard.MAX_ADDRESSES]]


def test_a_name_server_that_does_not_answer_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    # As above: only the resolver is made up, which hangs.
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(60) and [])
    monkeypatch.setattr(guard, "LOOKUP_SECONDS", 0.1)
    check_url("https://slow.example.com/")
    with pytest.raises(TimeoutError):
        guard.resolve("slow.example.com", 443, 0.1)
    ended.set()

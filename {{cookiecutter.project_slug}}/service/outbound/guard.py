"""Where outbound calls may go: to public addresses, and to what OUTBOUND_ALLOW names."""

import ipaddress
import re
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress

import httpx

from service.config import settings
from service.errors import AddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# A name, IPv4 in any way of writing it, or IPv6; one with a zone is for this machine alone.
HOST = re.compile(rb"[A-Za-z0-9._:-]+")

# Of the addresses of a name so many are looked at: whoever has a name may give it thousands.
MAX_ADDRESSES = 16

# Seconds for a name to be looked up while a request waits; what takes longer is looked up when it is called.
LOOKUP_SECONDS = 2.0

# So many requests may wait for that at once; names of the others are looked up when they are called, too.
_lookups = threading.BoundedSemaphore(4)

# Public by the registries, and still doors to what is not: metadata of Azure and of Oracle's cloud, relays of 6to4, and
# IBM Cloud's private services.
DOORS = ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "161.26.0.0/16", "166.8.0.0/14")

# Of IPv6 one eighth is handed out; in it, tunnels and documentation reach what their inner address says, or nothing.
UNICAST = ipaddress.IPv6Network("2000::/3")
SHUT = [ipaddress.ip_network(text) for text in (*DOORS, "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]

# What a network without IPv4 translates to IPv4 (RFC 6052): its last 32 bits are where it ends.
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def check_url(url: str, field: str = "url") -> None:
    """Refuse a URL that is not http(s), or whose host stands for an address that is not public.

    A name that does not resolve is let through: that may pass, and the address is checked again when it is called.

    Raises:
        AddressRefused: naming the field.
    """
    parsed = parse(url, field)
    if _lookups.acquire(blocking=False):
        try:
            with suppress(OSError):
                resolve(parsed.raw_host.decode("ascii"), 443, LOOKUP_SECONDS, field)
        finally:
            _lookups.release()


def parse(url: str, field: str = "url") -> httpx.URL:
    """The URL as the client reads it: two parsers could disagree about which part is the host.

    Raises:
        AddressRefused: it is not http(s), or has a password in it.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise AddressRefused(f"expected {field} to be a URL, got: {error}", field=field) from error
    if parsed.scheme not in {"http", "https"} or parsed.userinfo:
        raise AddressRefused(f"expected {field} to be an http or https URL without a password in it", field=field)
    if not HOST.fullmatch(parsed.raw_host) or not 0 < (parsed.port or 80) < 65536:
        raise AddressRefused(f"expected {field} to have a host, and a port up to 65535 if any", field=field)
    return parsed


def resolve(host: str, port: int, seconds: float, field: str = "the address") -> list[str]:
    """The first addresses that `host` stands for now, once each of them has been found to be one that may be called.

    Raises:
        AddressRefused: at the first that may not; the rest of such an answer is not to be trusted either.
        OSError: it does not resolve, or not in time.
    """
    host = host.rstrip(".").lower()
    addresses = list(dict.fromkeys(_look_up(host, port, seconds)))
    for address in addresses:
        if not _allowed(host, ipaddress.ip_address(address.partition("%")[0])):
            remedy = "an operator can allow it in OUTBOUND_ALLOW"
            raise AddressRefused(f"expected {field} to be public, got: {host}; {remedy}", field=field)
    return addresses


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    found: Future[list[str]] = Future()

    def ask() -> None:
        try:
            told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:MAX_ADDRESSES]
            found.set_result([str(entry[4][0]) for entry in told])
        except (OSError, UnicodeError) as error:
            found.set_exception(OSError(f"{host} could not be looked up: {error}"))

    # The system's resolver takes as long as it likes, and cannot be interrupted.
    threading.Thread(target=ask, name="lookup", daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"{host} was not resolved within {seconds:.1f} s") from None


def _allowed(host: str, address: Address) -> bool:
    for entry in filter(None, (part.strip() for part in settings().outbound_allow.split(","))):
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            if host == entry.rstrip(".").lower():
                return True
    return _public(address)


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return _public(address.ipv4_mapped)
        if address in NAT64:
            return _public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    inside = address in UNICAST if address.version == 6 else not address.is_multicast
    return inside and address.is_global and not any(address in shut for shut in SHUT)

"""Where outbound calls may go: to public addresses, and to what OUTBOUND_ALLOW names."""

import ipaddress
import socket
from urllib.parse import urlsplit

from service.config import settings
from service.errors import AddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_url(url: str, field: str = "url") -> None:
    """Refuse a URL that is not http(s), or whose host stands for an address that is not public.

    A name that does not resolve is let through: that may pass, and the address is checked again when it is called.

    Raises:
        AddressRefused: naming the field.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefused(f"expected {field} to be a URL, got: {error}", field=field) from error
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
        raise AddressRefused(f"expected {field} to be an http or https URL without a password in it", field=field)
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for *_, address in found:
        check_address(host, str(address[0]), field)


def check_address(host: str, address: str, field: str | None = None) -> None:
    """Refuse an address that is not public, unless it or its host is allowed.

    Raises:
        AddressRefused: naming the host, the field and the remedy.
    """
    if not _allowed(host, ipaddress.ip_address(address.partition("%")[0])):
        raise AddressRefused(
            f"expected {field or 'the address'} to be public, got: {host}; an operator can allow it in OUTBOUND_ALLOW",
            field=field,
        )


def _allowed(host: str, address: Address) -> bool:
    for entry in filter(None, (part.strip() for part in settings().outbound_allow.split(","))):
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            if host.lower() == entry.lower():
                return True
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_global and not mapped.is_multicast

"""The address of who asks, where reverse proxies stand before the portal.

Each proxy appends to X-Forwarded-For the address that it was asked from. A client may send that
header too, but stands before our proxies: of its last PROXY_HOPS entries, each was written by one
of ours, and the first of them is the client. What stands further left is not believed.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

IPV6_NETWORK_BITS = 64


class ClientAddressMiddleware:
    """Puts the client's own address into REMOTE_ADDR, which everything else reads."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        if settings.PROXY_HOPS and (found := client_of(forwarded, settings.PROXY_HOPS)):
            request.META["REMOTE_ADDR"] = found
        return self._get_response(request)


def client_of(forwarded: str, hops: int) -> str:
    """The address that the outermost of `hops` proxies was asked from; "" where none was said."""
    entries = [entry.strip() for entry in forwarded.split(",")]
    if len(entries) < hops:
        return ""
    try:
        return str(_plain(entries[-hops]))
    except ValueError:
        return ""


def neighbourhood(address: str | None) -> str:
    """What a client can choose its addresses from: an IPv4 address, an IPv6 network of 64 bits."""
    if not address or ":" not in address:
        return address or "nowhere"
    return str(ip_network((address.partition("%")[0], IPV6_NETWORK_BITS), strict=False))


def _plain(entry: str) -> object:
    address = ip_address(entry)
    is_mapped = isinstance(address, IPv6Address) and address.ipv4_mapped
    return address.ipv4_mapped if is_mapped and isinstance(address, IPv6Address) else address

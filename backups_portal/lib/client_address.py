"""The address of who asks, where reverse proxies stand before the portal.

Each proxy appends to X-Forwarded-For the address that it was asked from. A client may send that
header too, but stands before our proxies: of its last PROXY_HOPS entries, each was written by one
of ours, and the first of them is the client. What stands further left is not believed.

Some proxies write the client's port behind its address, or quote it. Where an entry of ours is no
address at all, everybody would count as the proxy, and one attacker could lock all others out: the
log says so.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)

IPV6_NETWORK_BITS = 64
# 203.0.113.7:51234, [2001:db8::1] and [2001:db8::1]:443; a colon alone is no port of IPv6.
WITH_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+))(?::\d{1,5})?")


_client: ContextVar[str | None] = ContextVar("client", default=None)


def client_address() -> str | None:
    """Return the IP address that the request being answered came from.

    None behind a socket file, and where no request is answered.
    """
    return _client.get()


@contextmanager
def asked_from(address: str | None) -> Iterator[None]:
    """Remember the client's address while its request is answered."""
    before = _client.set(address)
    try:
        yield
    finally:
        _client.reset(before)


class ClientAddressMiddleware:
    """Puts the client's own address into REMOTE_ADDR, and lets `client_address` return it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        if settings.PROXY_HOPS and forwarded:
            if found := client_of(forwarded, settings.PROXY_HOPS):
                request.META["REMOTE_ADDR"] = found
            else:
                _tell_once()
        with asked_from(request.META.get("REMOTE_ADDR") or None):
            return self._get_response(request)


def client_of(forwarded: str, hops: int) -> str:
    """Return the address that the outermost of `hops` proxies was asked from.

    "" if none was said.

    Where there are too few entries, the request came past a proxy of ours: only the last entry was
    written by one of ours for certain.
    """
    entries = [entry for part in forwarded.split(",") if (entry := part.strip(" \t"))]
    ours = entries[-hops:] if len(entries) >= hops else entries[-1:]
    return next((found for entry in ours if (found := _address(entry))), "")


def neighbourhood(address: str | None) -> str:
    """Return what a client can choose its addresses from.

    An IPv4 address, or an IPv6 network of 64 bits.
    """
    if not address or ":" not in address:
        return address or "nowhere"
    return str(ip_network((address.partition("%")[0], IPV6_NETWORK_BITS), strict=False))


def _address(entry: str) -> str:
    """Return the address in an entry, without port, quotes and zone, or ""."""
    entry = entry.strip('" \t')
    if match := WITH_PORT.fullmatch(entry):
        entry = match[1] or match[2]
    try:
        address = ip_address(entry.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


@cache
def _tell_once() -> None:
    # Not what it says, which a visitor may have written.
    log.warning(
        "X-Forwarded-For has no address where PROXY_HOPS=%s expects the proxy's: all visitors "
        "count as one. Let the proxy append the address that it is asked from.",
        settings.PROXY_HOPS,
    )

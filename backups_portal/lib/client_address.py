"""The client's address behind reverse proxies.

Each proxy appends the address of its own client to X-Forwarded-For. A client may send that header
too, but our proxies append after it: each of the last PROXY_HOPS entries was written by one of
ours, and the first of them is the client. Entries further left are not trusted.

Some proxies append the client's port, or quote the address. If an entry of ours is not an address
at all, all visitors would count as the proxy and one attacker could lock everybody out, so this is
logged.
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
# 203.0.113.7:51234, [2001:db8::1] and [2001:db8::1]:443; IPv6 needs brackets before a port.
WITH_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+))(?::\d{1,5})?")


_client: ContextVar[str | None] = ContextVar("client", default=None)


def client_address() -> str | None:
    """Return the IP address of the client of the current request.

    None behind a Unix socket, and outside of a request.
    """
    return _client.get()


@contextmanager
def asked_from(address: str | None) -> Iterator[None]:
    """Make `client_address` return this address within the block."""
    before = _client.set(address)
    try:
        yield
    finally:
        _client.reset(before)


class ClientAddressMiddleware:
    """Sets REMOTE_ADDR and `client_address` to the client's own address."""

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
    """Return the address of the client of the outermost of `hops` proxies.

    "" if no entry of ours is an address. If there are too few entries, the request bypassed one of
    our proxies, and only the last entry was certainly written by one.
    """
    entries = [entry for part in forwarded.split(",") if (entry := part.strip(" \t"))]
    ours = entries[-hops:] if len(entries) >= hops else entries[-1:]
    return next((found for entry in ours if (found := _address(entry))), "")


def neighbourhood(address: str | None) -> str:
    """Return the range that one client can pick its addresses from.

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
    # Leave the header out: a visitor may have written it.
    log.warning(
        "X-Forwarded-For has no address where PROXY_HOPS=%s expects the proxy's: all visitors "
        "count as one. Let the proxy append the address of its client.",
        settings.PROXY_HOPS,
    )

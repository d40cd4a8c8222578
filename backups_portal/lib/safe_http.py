"""Requests to addresses that users enter: http and https, to public hosts only.

A name is resolved once and the checked address is the one connected to, which defeats DNS
rebinding. Redirects are not followed and bodies not read, and one deadline covers the whole
exchange, so that a slow answer cannot prolong it.
"""

import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import httpcore

SCHEMES = ("http", "https")
# Leaves time to try a host's next address if the first does not answer.
CONNECT_SECONDS = 4.0
ORDINARY_IPV6 = ip_network("2000::/3")
# Teredo and 6to4: ranges of it that embed an IPv4 address, perhaps a private one.
TUNNELS = (ip_network("2001::/32"), ip_network("2002::/16"))


class OutgoingError(Exception):
    """There was no answer; the message is fit for a page and leaves out the address."""


class Answer(NamedTuple):
    """The parts of an answer that callers use.

    Attributes:
        retry_after: The header `Retry-After` as received, or "".
    """

    status: int
    retry_after: str = ""


def host_of(url: str) -> str:
    """Return an address's host, and port if any, which are safe to log.

    Raises:
        OutgoingError: a request cannot be sent to this address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OutgoingError("This is not a web address.") from error
    if parts.scheme not in SCHEMES or not parts.hostname or not url.isascii():
        raise OutgoingError("A web address begins with https:// or http:// and a host.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}" if port else host


def check_address(url: str) -> None:
    """Check an address before it is saved.

    All of it must be sent as written, and to one host only.

    Raises:
        OutgoingError: the address is invalid, or would not be sent as written.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise OutgoingError(
            "A web address cannot contain spaces or special letters: write them as codes, such as "
            "xn--… in a host and %C3%BC after it."
        )
    host_of(url)
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise OutgoingError(
            "A web address cannot contain a name and password, since every owner sees it: let the "
            "receiver check the signature, or put a secret in the path."
        )
    if "#" in url:
        raise OutgoingError("What follows a # is never sent. Remove it.")
    if parts.netloc.endswith((".", ":")) or ".:" in parts.netloc or parts.port == 0:
        raise OutgoingError("A host ends with a letter or digit, and a port is 1 to 65535.")


def without_login(url: str) -> str:
    """Return an address without name and password, to show it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def send(
    method: str,
    url: str,
    *,
    seconds: float,
    to_private: bool,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
) -> Answer:
    """Send a request, and return the parts of its answer that callers use.

    Args:
        seconds: The deadline of the whole exchange.
        to_private: Whether loopback, private and link-local addresses are allowed as well.

    Raises:
        OutgoingError: there was no answer in time, or the address is not allowed.
    """
    host_of(url)
    backend = _Backend(time.monotonic() + seconds, to_private=to_private)
    try:
        with (
            httpcore.ConnectionPool(network_backend=backend) as pool,
            pool.stream(
                method, url, headers=list((headers or {}).items()), content=content
            ) as response,
        ):
            return Answer(response.status, _retry_after(response.headers))
    except httpcore.TimeoutException as error:
        raise OutgoingError(f"There was no answer within {seconds:g} seconds.") from error
    except httpcore.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLError):
            raise OutgoingError("No secure connection: the certificate is not valid.") from error
        raise OutgoingError("No connection could be made.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise OutgoingError("The answer was not valid HTTP.") from error


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> str:
    found = (value.decode("latin-1") for name, value in headers if name.lower() == b"retry-after")
    return next(found, "")


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the public internet."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_multicast or not ip.is_global:
        return False
    if isinstance(ip, IPv4Address):
        return True
    return ip in ORDINARY_IPV6 and not any(ip in tunnel for tunnel in TUNNELS)


def _addresses(host: str, port: int, *, to_private: bool) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OutgoingError("Its host was not found.") from error
    addresses = [str(entry[4][0]) for entry in found]
    allowed = [address for address in addresses if to_private or is_public(address)]
    if not allowed:
        raise OutgoingError("Its host is in a private network, which is not allowed.")
    return allowed


class _Backend(httpcore.NetworkBackend):
    """Connects only to checked addresses, until a deadline of `time.monotonic`."""

    def __init__(self, until: float, *, to_private: bool) -> None:
        self._until, self._to_private = until, to_private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        trouble: Exception = httpcore.ConnectError("no address")
        for address in _addresses(host, port, to_private=self._to_private):
            seconds = min(CONNECT_SECONDS, _left(self._until))
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, seconds)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
            else:
                return _Stream(stream, self._until)
        raise trouble


class _Stream(httpcore.NetworkStream):
    """A connection whose every step has only the time left until the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, _left(self._until))
        return _Stream(secured, self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(until: float) -> float:
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return seconds

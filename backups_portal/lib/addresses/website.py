"""The public addresses of the portal, and the hosts that it answers to."""

import re
from urllib.parse import quote, urlsplit

from backups_portal.lib.addresses.url import AddressError, bracketed, split

ALLOWED = re.compile(r"\*|\.?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]")
EXAMPLE = "https://portal.example.com"


def base_url(text: str) -> str:
    """Parse an address that paths are appended to; strip its last slash.

    Raises:
        AddressError: the address is invalid.
    """
    parts = split(text.strip(), ("http", "https"), EXAMPLE)
    if not parts.host or parts.user or parts.password or parts.parameters:
        raise AddressError(f"It names a host, perhaps a port, and no more: write {EXAMPLE}.")
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{bracketed(parts.host)}{port}{quote(parts.path)}".rstrip("/")


def origin(text: str) -> str:
    """Check an origin: scheme, host and optional port.

    `*.` may precede a domain.

    Raises:
        AddressError: it is not an origin.
    """
    starred = text.replace("://*.", "://", 1)
    if base_url(starred).count("/") > 2:
        raise AddressError(f"It ends with its host or port: write {EXAMPLE}.")
    return text.rstrip("/")


def origin_of(url: str) -> str:
    """Reduce a base URL to its origin."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def allowed_host(text: str) -> str:
    """Check a host of ALLOWED_HOSTS.

    Raises:
        AddressError: no request can have this host.
    """
    if not ALLOWED.fullmatch(text):
        raise AddressError(
            "A host is a name without scheme, port or path, such as portal.example.com, "
            ".example.com or [::1]; international names are written as xn--…."
        )
    return text

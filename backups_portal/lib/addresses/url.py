"""The parts of any address that an operator configures.

Libraries parse some addresses differently, so each address is parsed once, here, and the libraries
are given the parts. An error never repeats a part of the address, which may be a part of its
password.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

ENCODING = (
    "In a user's name or password, write each of : / ? # [ ] @ % as a code, such as %40 for @."
)
HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?")
# Names and passwords, and parameters that grant access, in the message of any library.
LOGIN = re.compile(r"(?<=://)[^\s\"'<>@/?#]*:[^\s\"'<>@]*@")
SECRET = re.compile(
    r"((?:secret|password|passwd|sas|session_token|account_key|access_key\b)[a-z_]*=)[^\s&\"'<>]+",
    re.IGNORECASE,
)
# What S3 repeats of a request whose signature it refuses: its headers, with a session token.
ECHO = re.compile(r"<(CanonicalRequest(?:Bytes)?)>.*?</\1>", re.DOTALL)


class AddressError(ValueError):
    """The address is unusable; the message names the cure and repeats none of it."""


@dataclass(frozen=True)
class Parts:
    """The decoded parts of an address.

    Attributes:
        host: Without brackets; "" if the address has none.
        port: None for the scheme's default.
    """

    scheme: str
    user: str
    password: str = field(repr=False)
    host: str
    port: int | None
    path: str
    parameters: dict[str, str] = field(repr=False)


def split(text: str, schemes: Iterable[str], example: str) -> Parts:
    """Split an address into its parts.

    Args:
        schemes: Those that are allowed.
        example: Shown in the message if the scheme is none of these.

    Raises:
        AddressError: the address is invalid or ambiguous.
    """
    if not text.isprintable() or " " in text:
        raise AddressError("An address cannot contain spaces or line breaks.")
    scheme, is_url, rest = text.partition("://")
    if not is_url or scheme.lower() not in schemes:
        raise AddressError(f"Its scheme is not supported: write {example}.")
    if "#" in rest:
        raise AddressError(f"It contains a #, which would cut off what follows. {ENCODING}")
    try:
        # Parse every scheme by the rules of http.
        parts = urlsplit(f"http://{rest}")
        port = parts.port
    except ValueError:
        raise AddressError(f"Its host or port is not valid. {ENCODING}") from None
    host = parts.hostname or ""
    check_host(host)
    if port == 0 or parts.netloc.endswith(":"):
        raise AddressError("A port is a number from 1 to 65535.")
    return Parts(
        scheme=scheme.lower(),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=host,
        port=port,
        path=unquote(parts.path),
        parameters=_once(parse_qsl(parts.query, keep_blank_values=True)),
    )


def check_host(host: str) -> None:
    """Make sure that a host is a name or an IP address.

    Raises:
        AddressError: it is neither; it may be a misplaced part of a password.
    """
    if host and not HOST.fullmatch(host) and not IPV6.fullmatch(host):
        raise AddressError(f"Its host is neither a name nor an IP address. {ENCODING}")


def bracketed(host: str) -> str:
    """Write a host for an address, with brackets around IPv6."""
    return f"[{quote(host, safe=':.')}]" if ":" in host else quote(host, safe="")


def login(user: str, password: str) -> str:
    """Write a name and password to go before a host; "" without either."""
    said = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
    return f"{said}@" if said else ""


def without_secrets(text: str) -> str:
    """Mask passwords in addresses and secret parameters, in any text.

    The request that S3 repeats when it refuses a signature is left out.
    """
    if "://" not in text and "=" not in text:
        return text
    return SECRET.sub(r"\1***", LOGIN.sub("***@", ECHO.sub("", text)))


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise AddressError("One of its parameters is repeated.")
    return found

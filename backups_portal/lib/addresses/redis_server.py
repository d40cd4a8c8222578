"""The address of a Redis server, for redis-py, limits, Celery and kombu alike.

They agree on neither schemes nor parameters: kombu does not know unix://, treats a parameter as one
of its own arguments, and verifies certificates only when asked to.
"""

import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from backups_portal.lib.addresses.url import AddressError, Parts, bracketed, login, split

EXAMPLE = "redis://:password@host:6379/0, rediss://… for TLS or unix:///path/to/socket"
PLAIN, SECURE, SOCKET = "redis", "rediss", "unix"
SOCKETS = (SOCKET, "redis+socket", "redis+unix")
PORT = 6379
# The parameters that name files, which redis-py and kombu call the same.
FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
VERIFY, HOSTNAME = "ssl_cert_reqs", "ssl_check_hostname"
REQUIREMENTS = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}
YES, NO = ("true", "1", "yes"), ("false", "0", "no")
DATABASE = ("db", "virtual_host")


@dataclass(frozen=True)
class RedisAddress:
    """The address of Redis, in the form that each client needs.

    Attributes:
        url: For redis-py and limits.
        broker_url: For Celery and kombu.
        broker_ssl: Their setting `broker_use_ssl`; None without TLS.
    """

    url: str = field(repr=False)
    broker_url: str = field(repr=False)
    broker_ssl: dict[str, Any] | None


def parse(text: str) -> RedisAddress:
    """Parse the address of a Redis server.

    With TLS the certificate is verified, unless the address says otherwise.

    Raises:
        AddressError: at least one of the clients cannot use the address.
    """
    parts = split(text.strip(), (PLAIN, SECURE, *SOCKETS), EXAMPLE)
    database = _database(parts)
    security = _security(parts)
    known = {*DATABASE, *FILES, VERIFY, HOSTNAME}
    if unknown := set(parts.parameters) - known:
        # Names are safe to show, unless a password with a ? in it was cut in two.
        named = min(unknown) if parts.host and min(unknown).isidentifier() else "of this name"
        raise AddressError(f"It has no parameter {named}: it takes {', '.join(sorted(known))}.")
    who = login(parts.user, parts.password)
    if parts.scheme in SOCKETS:
        place = f"{who}{quote(parts.path)}"
        return RedisAddress(
            f"{SOCKET}://{place}?db={database}",
            f"redis+socket://{place}?virtual_host={database}",
            None,
        )
    place = f"{who}{bracketed(parts.host)}:{parts.port or PORT}/{database}"
    query = f"?{urlencode(security)}" if security else ""
    return RedisAddress(
        f"{parts.scheme}://{place}{query}",
        f"{parts.scheme}://{place}",
        _broker_ssl(security) if parts.scheme == SECURE else None,
    )


def _database(parts: Parts) -> int:
    """Find the database number, in the path for TCP or in a parameter."""
    is_socket = parts.scheme in SOCKETS
    if is_socket and (parts.host or not parts.path.strip("/")):
        raise AddressError("A socket is named by its path alone: unix:///path/to/socket.")
    if not is_socket and not parts.host:
        raise AddressError(f"It names no host: write {EXAMPLE}.")
    said = [parts.parameters[name] for name in DATABASE if name in parts.parameters]
    if not is_socket and parts.path.strip("/"):
        said.append(parts.path.removeprefix("/"))
    if len(set(said)) > 1:
        raise AddressError("It names two databases: write one number, such as redis://host:6379/0.")
    number = said[0] if said else "0"
    if not (number.isascii() and number.isdecimal()):
        raise AddressError("The database is a number, as in redis://host:6379/0.")
    return int(number)


def _security(parts: Parts) -> dict[str, str]:
    """Return the TLS parameters in redis-py's terms."""
    found = {name: parts.parameters[name] for name in FILES if parts.parameters.get(name)}
    if VERIFY in parts.parameters:
        found[VERIFY] = parts.parameters[VERIFY].lower().removeprefix("cert_")
        if found[VERIFY] not in REQUIREMENTS:
            raise AddressError(f"Its {VERIFY} is one of {', '.join(REQUIREMENTS)}.")
    if HOSTNAME in parts.parameters:
        said = parts.parameters[HOSTNAME].lower()
        if said not in YES + NO:
            raise AddressError(f"Its {HOSTNAME} is true or false.")
        # redis-py and kombu accept different words for no; both accept "no".
        found[HOSTNAME] = "yes" if said in YES else "no"
    if found and parts.scheme != SECURE:
        raise AddressError("Its ssl_… parameters need rediss://, which is Redis with TLS.")
    return found


def _broker_ssl(security: dict[str, str]) -> dict[str, object]:
    given: dict[str, Any] = {VERIFY: ssl.CERT_REQUIRED, **security}
    if VERIFY in security:
        given[VERIFY] = REQUIREMENTS[security[VERIFY]]
    if HOSTNAME in security:
        given[HOSTNAME] = security[HOSTNAME] == "yes"
    return given

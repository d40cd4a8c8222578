"""The address of a PostgreSQL server or database, for Django, psycopg and ADBC alike.

Accepts what libpq accepts, https://www.postgresql.org/docs/current/libpq-connect.html: a URL or
`name=value` pairs, several hosts with a port each, IPv6, sockets, services and every parameter.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from backups_portal.lib.addresses.url import ENCODING, AddressError, bracketed, check_host, login

EXAMPLE = "postgresql://user:password@host:5432/database"
ENGINE = "django.db.backends.postgresql"
SCHEME = "postgresql"
# The schemes of libpq, then those of Django's libraries.
SCHEMES = (SCHEME, "postgres", "psql", "pgsql")
PARAMETER = re.compile(r"\w{1,40}")
CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": (
        ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
    ),
    "load_balance_hosts": ("disable", "random"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
}
NUMBERS = ("connect_timeout", "keepalives_idle", "keepalives_interval", "tcp_user_timeout")
# If one of these files is missing, libpq's `sslmode=require` connects without it, silently.
FILES = ("sslrootcert", "sslcrl")
# An unreachable server refuses nothing, and pages and Prometheus cannot wait for minutes.
PATIENCE = {"connect_timeout": "5"}
Parameters = dict[str, str]


def normalized(text: str) -> str:
    """Check everything in an address, and return it in a form libpq accepts.

    Raises:
        AddressError: the address cannot be used.
    """
    text = text.strip()
    scheme, is_url, rest = text.partition("://")
    if is_url and scheme.lower() in SCHEMES[2:]:
        text = f"{SCHEME}://{rest}"
    found = parameters(text)
    _check_values(found)
    return text


def parameters(text: str) -> Parameters:
    """Parse an address into parameters under libpq's names.

    Raises:
        AddressError: the address is invalid.
    """
    scheme, is_url, _ = text.partition("://")
    if is_url and scheme.isidentifier() and scheme not in SCHEMES[:2]:
        raise AddressError(f"Its scheme is not PostgreSQL's: write {EXAMPLE}.")
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except ProgrammingError:
        # libpq's message repeats the address, and so must not be chained as the cause.
        raise AddressError(_why(text)) from None
    _check_hosts(found)
    _check_once(text)
    return found


def url(found: Mapping[str, str]) -> str:
    """Write these parameters as a URL."""
    rest = {name: value for name, value in found.items() if value}
    user, password = rest.pop("user", ""), rest.pop("password", "")
    database, hosts, ports = (rest.pop(name, "") for name in ("dbname", "host", "port"))
    if hosts.startswith(("/", "@")) and "," not in hosts:
        rest["host"], hosts = hosts, ""
    query = "?" + urlencode(rest, quote_via=quote) if rest else ""
    address = login(user, password) + _places(hosts, ports)
    return f"{SCHEME}://{address}/{quote(database, safe='')}{query}"


def django_database(text: str) -> dict[str, object]:
    """Make an entry of Django's DATABASES; OPTIONS hold the other parameters.

    Connecting times out after a few seconds, unless the address has a connect_timeout.

    Raises:
        AddressError: the address cannot be used, or names no database.
    """
    rest = parameters(normalized(text))
    if not rest.get("dbname") and not rest.get("service"):
        raise AddressError(f"It names no database: write {EXAMPLE}.")
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
    named = {ours: rest.pop(name, "") for ours, name in {**names, "PORT": "port"}.items()}
    return {"ENGINE": ENGINE, **named, "OPTIONS": {**PATIENCE, **rest}}


def _places(hosts: str, ports: str) -> str:
    """Join hosts with their ports for a URL; a single port is for all."""
    names = hosts.split(",")
    numbers = ports.split(",")
    numbers = numbers * len(names) if len(numbers) == 1 else numbers
    pairs = zip(names, numbers, strict=True)
    return ",".join(bracketed(name) + (f":{port}" if port else "") for name, port in pairs)


def _check_hosts(found: Parameters) -> None:
    hosts, ports = found.get("host", "").split(","), found.get("port", "").split(",")
    for host in hosts:
        # Socket folders, and abstract sockets.
        if not host.startswith(("/", "@/")):
            check_host(host)
    if not all(port == "" or (port.isdecimal() and 0 < int(port) < 65536) for port in ports):
        raise AddressError(f"A port is a number from 1 to 65535. {ENCODING}")
    places = max(len(hosts), len(found.get("hostaddr", "").split(",")))
    if len(ports) not in (1, places):
        raise AddressError("It names as many ports as hosts, or one port for all of them.")


def _check_once(text: str) -> None:
    """Raise AddressError for a repeated parameter: libpq takes the last."""
    names = _names(text)
    if len(set(names)) != len(names):
        raise AddressError("One of its parameters is repeated.")


def _names(text: str) -> list[str]:
    """List the names of the parameters after a URL's question mark."""
    query = text.rpartition("@")[2].partition("?")[2]
    return [part.partition("=")[0] for part in query.split("&") if part]


def _check_values(found: Parameters) -> None:
    for name, allowed in CHOICES.items():
        if found.get(name, allowed[0]) not in allowed:
            raise AddressError(f"Its {name} is one of {', '.join(allowed)}.")
    for name in NUMBERS:
        if not found.get(name, "0").isdecimal():
            raise AddressError(f"Its {name} is a whole number.")
    for name in FILES:
        file = found.get(name, "")
        if file not in ("", "system") and not Path(file).is_file():
            raise AddressError(f"Its {name} names a file that does not exist.")


def _why(text: str) -> str:
    """Explain what is wrong with an address that libpq refuses."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl"}
    for name in _names(text):
        if PARAMETER.fullmatch(name) and name not in known:
            return f"PostgreSQL has no parameter {name}."
    return f"It is not valid: write {EXAMPLE}. {ENCODING}"

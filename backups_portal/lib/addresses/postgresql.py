"""The address of a PostgreSQL server or database, for Django, psycopg and ADBC alike.

What libpq reads counts, https://www.postgresql.org/docs/current/libpq-connect.html: a URL or
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
# What libpq calls it itself, and names that Django's libraries have for it.
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
# Read where it is there; where it is not, `sslmode=require` would go on without a word.
FILES = ("sslrootcert", "sslcrl")
# A server that is cut off refuses nothing: pages, and Prometheus, do not wait for minutes.
PATIENCE = {"connect_timeout": "5"}
Parameters = dict[str, str]


def normalized(text: str) -> str:
    """Check everything in an address, and return it as libpq reads it.

    Raises:
        AddressError: it cannot be used.
    """
    text = text.strip()
    scheme, is_url, rest = text.partition("://")
    if is_url and scheme.lower() in SCHEMES[2:]:
        text = f"{SCHEME}://{rest}"
    found = parameters(text)
    _check_values(found)
    return text


def parameters(text: str) -> Parameters:
    """Read what an address says, by the names that libpq has for it.

    Raises:
        AddressError: it cannot be understood.
    """
    scheme, is_url, _ = text.partition("://")
    if is_url and scheme.isidentifier() and scheme not in SCHEMES[:2]:
        raise AddressError(f"Its scheme is not PostgreSQL's: write {EXAMPLE}.")
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except ProgrammingError:
        # libpq's own sentence repeats the address, and so must not be the cause of this one.
        raise AddressError(_why(text)) from None
    _check_hosts(found)
    _check_once(text)
    return found


def url(found: Mapping[str, str]) -> str:
    """Write the URL that says the same as these parameters."""
    rest = {name: value for name, value in found.items() if value}
    user, password = rest.pop("user", ""), rest.pop("password", "")
    database, hosts, ports = (rest.pop(name, "") for name in ("dbname", "host", "port"))
    if hosts.startswith(("/", "@")) and "," not in hosts:
        rest["host"], hosts = hosts, ""
    query = "?" + urlencode(rest, quote_via=quote) if rest else ""
    address = login(user, password) + _places(hosts, ports)
    return f"{SCHEME}://{address}/{quote(database, safe='')}{query}"


def django_database(text: str) -> dict[str, object]:
    """Make an entry of Django's DATABASES, whose OPTIONS have every parameter of the address.

    A connection is given up after a few seconds, unless the address has a connect_timeout.

    Raises:
        AddressError: it cannot be used, or names no database.
    """
    rest = parameters(normalized(text))
    if not rest.get("dbname") and not rest.get("service"):
        raise AddressError(f"It names no database: write {EXAMPLE}.")
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
    named = {ours: rest.pop(name, "") for ours, name in {**names, "PORT": "port"}.items()}
    return {"ENGINE": ENGINE, **named, "OPTIONS": {**PATIENCE, **rest}}


def _places(hosts: str, ports: str) -> str:
    """Hosts with their ports, as a URL has them; one port alone is that of all hosts."""
    names = hosts.split(",")
    numbers = ports.split(",")
    numbers = numbers * len(names) if len(numbers) == 1 else numbers
    pairs = zip(names, numbers, strict=True)
    return ",".join(bracketed(name) + (f":{port}" if port else "") for name, port in pairs)


def _check_hosts(found: Parameters) -> None:
    hosts, ports = found.get("host", "").split(","), found.get("port", "").split(",")
    for host in hosts:
        # Folders of sockets, and abstract ones.
        if not host.startswith(("/", "@/")):
            check_host(host)
    if not all(port == "" or (port.isdecimal() and 0 < int(port) < 65536) for port in ports):
        raise AddressError(f"A port is a number from 1 to 65535. {ENCODING}")
    places = max(len(hosts), len(found.get("hostaddr", "").split(",")))
    if len(ports) not in (1, places):
        raise AddressError("It names as many ports as hosts, or one port for all of them.")


def _check_once(text: str) -> None:
    """Raise AddressError where a parameter is there twice; of two, libpq takes the last."""
    names = _names(text)
    if len(set(names)) != len(names):
        raise AddressError("One of its parameters is repeated.")


def _names(text: str) -> list[str]:
    """List the names of the parameters behind a URL's question mark."""
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
            raise AddressError(f"Its {name} names a file that is not there.")


def _why(text: str) -> str:
    """Say what is wrong with an address that libpq does not read."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl"}
    for name in _names(text):
        if PARAMETER.fullmatch(name) and name not in known:
            return f"PostgreSQL has no parameter {name}."
    return f"It is not valid: write {EXAMPLE}. {ENCODING}"

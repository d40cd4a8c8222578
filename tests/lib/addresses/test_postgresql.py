"""A PostgreSQL URL, and how each client interprets it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi as adbc
from django.db.utils import ConnectionHandler
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Error as PsycopgError
from psycopg import connect
from psycopg.conninfo import conninfo_to_dict

from backups_portal.lib.addresses import postgresql
from backups_portal.lib.addresses.url import AddressError
from backups_portal.projectdb.database_url import database_url
from tests.lib.addresses.listener import (
    Certificate,
    listening,
    postgresql_without,
)
from tests.lib.addresses.listener import postgresql as with_tls

Parameters = dict[str, str]


def of_django(url: str) -> Parameters:
    """Return what Django passes to libpq."""
    handler = ConnectionHandler({"default": postgresql.django_database(url)})
    found: dict[str, Any] = handler["default"].get_connection_params()
    if "connect_timeout" not in url:
        assert found.pop("connect_timeout") == "5"
    ours = ("context", "cursor_factory", "prepare_threshold", "client_encoding")
    return {name: str(value) for name, value in found.items() if name not in ours}


def of_psycopg(url: str) -> Parameters:
    """Return what psycopg passes to libpq for a server's URL."""
    found = conninfo_to_dict(postgresql.normalized(url))
    return {name: str(value) for name, value in found.items()}


def of_projects(url: str) -> Parameters:
    """Return what psycopg and ADBC pass to libpq for a database on the server."""
    name = conninfo_to_dict(postgresql.normalized(url)).get("dbname", "")
    found = conninfo_to_dict(database_url(postgresql.normalized(url), database=str(name)))
    return {name: str(value) for name, value in found.items() if value}


CLIENTS = (of_django, of_psycopg, of_projects)
TABLE = {
    "postgresql://u:p@h:5433/d": {
        "user": "u",
        "password": "p",
        "host": "h",
        "port": "5433",
        "dbname": "d",
    },
    "postgres://h/d?sslmode=require&connect_timeout=3": {
        "host": "h",
        "dbname": "d",
        "sslmode": "require",
        "connect_timeout": "3",
    },
    "psql://u:p%40s%2Fs@h/d?sslmode=verify-full&sslrootcert=system": {
        "user": "u",
        "password": "p@s/s",
        "host": "h",
        "dbname": "d",
        "sslmode": "verify-full",
        "sslrootcert": "system",
    },
    "postgresql://h1:5432,h2:5433/d?target_session_attrs=primary": {
        "host": "h1,h2",
        "port": "5432,5433",
        "dbname": "d",
        "target_session_attrs": "primary",
    },
    "postgresql://[::1]:5433,[2001:db8::2]:5434/d": {
        "host": "::1,2001:db8::2",
        "port": "5433,5434",
        "dbname": "d",
    },
    "postgresql://u@[::1]/d": {"user": "u", "host": "::1", "dbname": "d"},
    "postgresql://u@[fe80::1%25eth0]:5432/d": {
        "user": "u",
        "host": "fe80::1%eth0",
        "port": "5432",
        "dbname": "d",
    },
    "postgresql://u@/d?host=/run/pg": {"user": "u", "host": "/run/pg", "dbname": "d"},
    "postgresql://u@%2Frun%2Fpg/d": {"user": "u", "host": "/run/pg", "dbname": "d"},
    "postgresql:///d?host=h1,/run/pg&port=5432,5433": {
        "host": "h1,/run/pg",
        "port": "5432,5433",
        "dbname": "d",
    },
    "postgresql:///d?service=portal": {"service": "portal", "dbname": "d"},
    "postgresql://u:a%23b%25c%3Fd@h/d%20e": {
        "user": "u",
        "password": "a#b%c?d",
        "host": "h",
        "dbname": "d e",
    },
    "postgresql://u:p+q@h/d?application_name=a%20b%26c&options=-c%20work_mem%3D8MB": {
        "user": "u",
        "password": "p+q",
        "host": "h",
        "dbname": "d",
        "application_name": "a b&c",
        "options": "-c work_mem=8MB",
    },
    "host=h port=5433 dbname=d user=u password='p w'": {
        "user": "u",
        "password": "p w",
        "host": "h",
        "port": "5433",
        "dbname": "d",
    },
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("url", TABLE)
def test_every_client_gets_what_the_address_says(
    url: str, client: Callable[[str], Parameters]
) -> None:
    expected = TABLE[url]
    found = client(url)
    if client is of_projects and len(set(found.get("port", "").split(","))) == 1:
        # One port for all hosts may be given once or for each.
        assert found.pop("port", "").split(",")[0] == expected.get("port", "").split(",")[0]
        expected = {name: value for name, value in expected.items() if name != "port"}
    assert found == expected


@settings(max_examples=40, deadline=None)
@given(
    password=st.text(min_size=1).filter(lambda text: "\0" not in text and text.isprintable()),
    hosts=st.lists(
        st.sampled_from(["h", "db.example.com", "10.0.0.1", "::1", "fe80::1%eth0", "/run/pg"]),
        min_size=1,
        max_size=3,
    ),
    ports=st.lists(st.integers(1, 65535), min_size=3, max_size=3),
    database=st.text(st.characters(categories=["L", "N", "S", "P"]), min_size=1, max_size=60),
)
def test_whatever_stands_in_it_arrives(
    password: str, hosts: list[str], ports: list[int], database: str
) -> None:
    numbers = ports[: len(hosts)]
    url = (
        f"postgresql:///{quote(database, safe='')}?user=u&password={quote(password, safe='')}"
        f"&host={quote(','.join(hosts))}&port={','.join(map(str, numbers))}"
    )
    for client in CLIENTS:
        found = client(url)
        assert found["password"] == password
        assert found["dbname"] == database
        assert found["host"].split(",") == hosts
        assert found["port"].split(",") == list(map(str, numbers))


SECRET = "s3cretpart"
REFUSED = {
    f"mysql://u:{SECRET}@h/d": "write postgresql://",
    f"psql+x://u:{SECRET}@h/d": "write postgresql://",
    f"u:{SECRET}@h/d": "It is not valid",
    f"postgresql://u:p@{SECRET}@h/d": "neither a name nor an IP address",
    f"postgresql://u:{SECRET}/x@h/d": "A port is a number",
    f"postgresql://u:%{SECRET}@h/d": "as a code, such as %40",
    f"postgresql://u:{SECRET}@h/d?colour=red": "no parameter colour",
    f"postgresql://u:{SECRET}@h/d?sslmode=verify": "sslmode is one of",
    f"postgresql://u:{SECRET}@h/d?connect_timeout=soon": "connect_timeout is a whole number",
    f"postgresql://u:{SECRET}@h/d?sslmode=require&sslrootcert=/not/there.pem": "does not exist",
    f"postgresql://u:{SECRET}@h:0/d": "from 1 to 65535",
    f"postgresql://u:{SECRET}@h:99999/d": "from 1 to 65535",
    f"postgresql://u:{SECRET}@h1:1,h2:2/d?port=1,2,3": "as many ports as hosts",
    f"postgresql://u:{SECRET}@h": "names no database",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_meant_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(AddressError) as refused:
        postgresql.django_database(url)
    assert REFUSED[url] in str(refused.value)
    seen: BaseException | None = refused.value
    while seen:
        # A traceback prints the causes as well.
        assert SECRET not in str(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def ask_django(url: str) -> None:
    """Connect as the portal does."""
    database = ConnectionHandler({"default": postgresql.django_database(url)})["default"]
    with suppress(PsycopgError):
        database.get_new_connection(database.get_connection_params()).close()


def ask_psycopg(url: str) -> None:
    """Connect as pages and workers do."""
    with suppress(PsycopgError):
        connect(database_url(url, database="d")).close()


def ask_adbc(url: str) -> None:
    """Connect as the readers of a snapshot do."""
    with suppress(AdbcError):
        adbc.connect(database_url(url, database="d")).close()


ASKING = (ask_django, ask_psycopg, ask_adbc)


@pytest.mark.parametrize("ask", ASKING)
def test_nothing_is_said_in_the_clear_where_tls_was_asked_for(
    ask: Callable[[str], None], certificate: Certificate
) -> None:
    with listening(certificate, postgresql_without) as server:
        ask(f"postgresql://u@127.0.0.1:{server.port}/d?sslmode=require")
        assert server.heard == (False, False)


@pytest.mark.parametrize("ask", ASKING)
def test_a_certificate_is_verified_where_that_was_asked_for(
    ask: Callable[[str], None], certificate: Certificate
) -> None:
    with listening(certificate, with_tls) as server:
        place = f"postgresql://u@localhost:{server.port}/d?hostaddr=127.0.0.1&sslmode=verify-full"
        ask(f"{place}&sslrootcert={certificate.server}")
        assert server.heard == (False, False)
        ask(f"{place}&sslrootcert={certificate.authority}")
        assert server.heard == (False, True)

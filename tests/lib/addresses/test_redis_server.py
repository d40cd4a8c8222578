"""A Redis URL, and how each client interprets it."""

import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.exceptions import OperationalError
from limits.storage import RedisStorage
from redis import Redis, SSLConnection
from redis.exceptions import RedisError

from backups_portal.demo.redis import server_program
from backups_portal.lib.addresses import redis_server
from backups_portal.lib.addresses.redis_server import RedisAddress
from backups_portal.lib.addresses.url import AddressError
from tests.lib.addresses.listener import Certificate, listening
from tests.lib.addresses.listener import redis as with_tls

Found = dict[str, Any]
NAMES = ("host", "port", "path", "db", "username", "password")


def of_redis(address: RedisAddress) -> Found:
    """Return redis-py's connection settings."""
    pool = Redis.from_url(address.url).connection_pool
    return {"connection_class": pool.connection_class, **pool.connection_kwargs}


def of_limits(address: RedisAddress) -> Found:
    """Return the rate limiter's connection settings."""
    pool: Any = RedisStorage(address.url).storage.connection_pool
    return {"connection_class": pool.connection_class, **pool.connection_kwargs}


def of_celery(address: RedisAddress) -> Found:
    """Return kombu's connection settings without connecting."""
    channel_type = broker(address).transport.Channel

    class Channel(channel_type):  # type: ignore[misc, valid-type]
        """A channel that reports its connection settings."""

        def __init__(self, connection: Any) -> None:
            self.connection = connection
            self.found = self._connparams()

    made: Found = Channel(broker(address).transport).found
    return made


def broker(address: RedisAddress) -> Any:
    """Return Celery's broker connection as configured by the settings."""
    app = Celery(set_as_current=False)
    app.conf.broker_url = address.broker_url
    app.conf.broker_use_ssl = address.broker_ssl
    return app.connection()


CLIENTS = (of_redis, of_limits, of_celery)
TCP = {"host": "h", "port": 6379, "db": 0}
TABLE: dict[str, Found] = {
    "redis://h": TCP,
    "redis://h:6380/3": {**TCP, "port": 6380, "db": 3},
    "redis://h/?db=3": {**TCP, "db": 3},
    "redis://h?virtual_host=3": {**TCP, "db": 3},
    "redis://:p%40s%2Fs%23%25@h": {**TCP, "password": "p@s/s#%"},
    "redis://u%3A:p;q+r@h": {**TCP, "username": "u:", "password": "p;q+r"},
    "redis://[::1]:6380/1": {"host": "::1", "port": 6380, "db": 1},
    "redis://:p@[2001:db8::1]": {**TCP, "host": "2001:db8::1", "password": "p"},
    "rediss://:p@h:6380/2": {"host": "h", "port": 6380, "db": 2, "password": "p"},
    "unix:///run/redis.sock": {"path": "/run/redis.sock", "db": 0},
    "unix://:p@/run/redis.sock?db=2": {"path": "/run/redis.sock", "db": 2, "password": "p"},
    "redis+socket:///run/a%20b%23.sock?virtual_host=2": {"path": "/run/a b#.sock", "db": 2},
    "redis+unix://u:p%2F@/run/redis.sock": {
        "path": "/run/redis.sock",
        "db": 0,
        "username": "u",
        "password": "p/",
    },
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("url", TABLE)
def test_every_client_gets_what_the_address_says(
    url: str, client: Callable[[RedisAddress], Found]
) -> None:
    found = client(redis_server.parse(url))
    assert {name: found[name] for name in NAMES if found.get(name) is not None} == TABLE[url]


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    user=TEXT,
    password=TEXT.filter(bool),
    host=st.sampled_from(["h", "my_redis", "redis.example.com", "10.0.0.1", "::1", "2001:db8::9"]),
    port=st.integers(1, 65535),
    database=st.integers(0, 99),
    is_socket=st.booleans(),
)
def test_all_clients_are_told_the_same(
    user: str, password: str, host: str, port: int, database: int, is_socket: bool
) -> None:
    who = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    place = f"[{host}]" if ":" in host else host
    address = redis_server.parse(
        f"unix://{who}/run/{quote(user)}/r.sock?db={database}"
        if is_socket
        else f"redis://{who}{place}:{port}/{database}"
    )
    expected: Found = {"db": database, "username": user or None, "password": password}
    where = {"path": f"/run/{user}/r.sock"} if is_socket else {"host": host, "port": port}
    for client in CLIENTS:
        found = client(address)
        assert {name: found.get(name) for name in (*expected, *where)} == {**expected, **where}
    assert len(password) < 9 or password not in repr(address)


def certificates(found: Found) -> tuple[Any, ...]:
    """Return how a client checks the server's certificate."""
    assert issubclass(found["connection_class"], SSLConnection)
    said = {name: value for name, value in found.items() if name.startswith("ssl_")}
    connection = SSLConnection(**said)
    return connection.cert_reqs, connection.check_hostname, connection.ca_certs


VERIFIED = (ssl.CERT_REQUIRED, True, None)
SECURITY: dict[str, tuple[Any, ...]] = {
    "": VERIFIED,
    "?ssl_cert_reqs=required": VERIFIED,
    "?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/etc/ca.pem": (
        *VERIFIED[:2],
        "/etc/ca.pem",
    ),
    "?ssl_check_hostname=false": (ssl.CERT_REQUIRED, False, None),
    "?ssl_check_hostname=no": (ssl.CERT_REQUIRED, False, None),
    "?ssl_check_hostname=1": VERIFIED,
    "?ssl_cert_reqs=none": (ssl.CERT_NONE, False, None),
    "?ssl_cert_reqs=optional": (ssl.CERT_OPTIONAL, True, None),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("query", SECURITY)
def test_every_client_does_the_same_with_a_certificate(
    query: str, client: Callable[[RedisAddress], Found]
) -> None:
    assert certificates(client(redis_server.parse(f"rediss://h{query}"))) == SECURITY[query]


def ask_redis(address: RedisAddress) -> None:
    """Send a command through redis-py."""
    with suppress(RedisError), Redis.from_url(address.url) as client:
        client.ping()


def ask_limits(address: RedisAddress) -> None:
    """Send a command through the rate limiter."""
    with suppress(RedisError):
        RedisStorage(address.url).check()


def ask_celery(address: RedisAddress) -> None:
    """Send a command through kombu."""
    with suppress(OperationalError, RedisError, OSError), broker(address) as connection:
        connection.transport.establish_connection()


@pytest.mark.parametrize("ask", [ask_redis, ask_limits, ask_celery])
def test_a_certificate_of_nobody_known_ends_the_conversation(
    ask: Callable[[RedisAddress], None], certificate: Certificate
) -> None:
    with listening(certificate, with_tls) as server:
        place = f"rediss://:p@localhost:{server.port}/0"
        ask(redis_server.parse(place))
        assert server.heard == (False, False)
        ask(redis_server.parse(f"{place}?ssl_ca_certs={certificate.authority}"))
        assert server.heard == (False, True)


@pytest.mark.parametrize("ask", [ask_redis, ask_celery])
def test_who_says_so_takes_any_certificate(
    ask: Callable[[RedisAddress], None], certificate: Certificate
) -> None:
    with listening(certificate, with_tls) as server:
        ask(redis_server.parse(f"rediss://127.0.0.1:{server.port}?ssl_cert_reqs=none"))
        assert server.heard == (False, True)


SECRET = "s3cretpart"
REFUSED = {
    f"http://:{SECRET}@h": "write redis://",
    f"redis:{SECRET}": "write redis://",
    f"redis://:{SECRET}#x@h": "contains a #",
    f"redis://:{SECRET}/x@h:6379/0": "host or port",
    f"redis://:7{SECRET[:0]}/{SECRET}@h:6379/0": "names no host",
    f"redis://:a?{SECRET}@h:6379/0": "host or port",
    f"redis://:[{SECRET}@h/0": "host or port",
    f"redis://:{SECRET}@h/nine": "The database is a number",
    f"redis://:{SECRET}@h/1?db=2": "two databases",
    f"redis://:{SECRET}@h?colour=1": "no parameter colour",
    f"redis://:{SECRET}@h?ssl_cert_reqs=required": "need rediss://",
    f"rediss://:{SECRET}@h?ssl_cert_reqs=perhaps": "one of required",
    f"rediss://:{SECRET}@h?ssl_check_hostname=perhaps": "true or false",
    f"redis://:{SECRET}@h1:1,h2:2": "host or port",
    f"redis://:{SECRET}@h:0": "from 1 to 65535",
    f"redis://:{SECRET}@/0": "names no host",
    f"unix://:{SECRET}@": "by its path alone",
    f"unix://:{SECRET}@run/redis.sock": "by its path alone",
    f"redis://:{SECRET} x@h": "contain spaces",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_meant_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(AddressError) as refused:
        redis_server.parse(url)
    assert REFUSED[url] in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_address_does_not_show_its_password() -> None:
    assert SECRET not in repr(redis_server.parse(f"redis://:{SECRET}@h"))


def test_celery_shows_no_password_of_a_socket() -> None:
    address = redis_server.parse(f"unix://:{SECRET}@/run/redis.sock?db=1")
    assert SECRET not in broker(address).as_uri()


@pytest.fixture
def sockets() -> Iterator[str]:
    """The path of a real Redis that listens on a Unix socket only."""
    # Not in tmp_path: a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    path = folder / "redis.sock"
    server = subprocess.Popen(
        [str(server_program()), "--port", "0", "--unixsocket", str(path), "--requirepass", "p/#"],
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        until = time.monotonic() + 20
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.02)
        yield quote(str(path))
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def test_a_socket_works_in_every_client(sockets: str) -> None:
    address = redis_server.parse(f"unix://:p%2F%23@{sockets}?db=3")
    with broker(address) as connection, connection.SimpleQueue("q") as queue:
        queue.put("a message")
        with Redis.from_url(address.url) as client:
            assert client.llen("q") == 1
        assert queue.get(timeout=5).payload == "a message"
    assert RedisStorage(address.url).check()

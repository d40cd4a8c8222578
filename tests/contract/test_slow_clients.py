"""Slow clients of either server delay nobody, and time out."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tests.conftest import database_of_this_test
from tests.contract.conftest import Endpoint
from tests.contract.http import ask
from tests.contract.server import running
from tests.processes import end_in_order

Pair = tuple[Endpoint, Endpoint]
SLOW = 200
# About a second, with room for a busy machine.
QUICK_SECONDS = 2.0
HASTY = """
from backups_portal.lib import asgi_client, gunicorn_worker
gunicorn_worker.HEAD_SECONDS, asgi_client.BODY_SECONDS, asgi_client.SEND_SECONDS = 1.0, 1.0, 1.0
from backups_portal.tagoio_api.asgi import application
"""


@pytest.fixture(scope="module")
def portal_url(api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The portal next to the API; static files without a build."""
    environment = {**database_of_this_test(), "DEBUG": "1"}
    with running(
        "backups_portal.asgi", environment, tmp_path_factory.mktemp("web") / "web.log"
    ) as url:
        yield url


@pytest.fixture(scope="module")
def hasty_url(api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API with timeouts of a second."""
    folder = tmp_path_factory.mktemp("hasty")
    (folder / "hasty.py").write_text(HASTY)
    environment = {**database_of_this_test(), "PYTHONPATH": f"{folder}:{Path.cwd()}"}
    with running("hasty", environment, folder / "api.log") as url:
        yield url


def connect(url: str, said: bytes) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)
    connection.sendall(said)
    return connection


def unfinished(path: str, token: str) -> list[bytes]:
    """Return what slow clients have sent so far: unfinished headers, or an unfinished body."""
    post = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    known = f"{post}token: {token}\r\n"
    return [
        b"",
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".encode(),
        f"{post}Content-Length: 1000\r\n\r\n{{".encode(),
        f"{known}Content-Length: 1000\r\n\r\n{{".encode(),
        # These two block threads.
        f"{known}Content-Length: 5000000\r\n\r\n{{".encode(),
        f"{known}Transfer-Encoding: chunked\r\n\r\n5\r\n".encode(),
    ]


def quick(call: Callable[[], object]) -> None:
    began = time.monotonic()
    call()
    assert time.monotonic() - began < QUICK_SECONDS


def test_200_slow_sockets_keep_nobody_waiting(endpoints: Pair, portal_url: str) -> None:
    one = endpoints[0]
    with ExitStack() as slow:
        for url, path in ((one.url, "/device"), (portal_url, "/sign-in/")):
            begun = unfinished(path, one.token)
            for number in range(SLOW):
                # Send only as many large bodies as threads may wait for.
                kinds = begun if number < 60 else begun[:4]
                slow.enter_context(connect(url, kinds[number % len(kinds)]))
        for _ in range(3):
            quick(lambda: ask(one.url, "GET", "/device", token=one.token))
            quick(lambda: ask(one.url, "POST", "/device", {"name": "Truck"}, token=one.token))
            quick(lambda: urlopen(f"{portal_url}/sign-in/", timeout=30).read())  # noqa: S310


def test_who_reads_slowly_keeps_nobody_waiting(endpoints: Pair) -> None:
    one = endpoints[0]
    _, made = ask(one.url, "POST", "/device", {"name": "Truck"}, token=one.token)
    records = [{"variable": "t", "value": "x" * 1000} for _ in range(5000)]
    assert ask(one.url, "POST", "/data", records, token=made["token"])[0] == 200
    (get := f"GET /data?qty=5000 HTTP/1.1\r\nHost: api\r\ntoken: {made['token']}\r\n\r\n")
    with ExitStack() as slow:
        readers = [slow.enter_context(connect(one.url, get.encode())) for _ in range(20)]
        for reader in readers:
            # The answer is complete; from now on the server only waits for the client.
            reader.settimeout(60)
            assert reader.recv(1)
        quick(lambda: ask(one.url, "GET", "/device", token=one.token))
    status, found = ask(one.url, "GET", "/data?qty=5000", token=made["token"])
    assert (status, len(found)) == (200, 5000)


def answer(connection: socket.socket) -> bytes:
    """Return everything that a server sends until it closes the connection."""
    with connection, connection.makefile("rb") as stream:
        return stream.read()


def test_what_does_not_come_in_time_is_refused(endpoints: Pair, hasty_url: str) -> None:
    token = endpoints[0].token
    waiting = [connect(hasty_url, begun) for begun in unfinished("/device", token)]
    for connection in waiting:
        assert answer(connection).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    # A client that sends a header now and then times out, too.
    slow = connect(hasty_url, b"GET /healthz HTTP/1.1\r\nHost: api\r\n")
    began = time.monotonic()
    with suppress(OSError):
        while time.monotonic() < began + 10:
            slow.sendall(b"X-More: 1\r\n")
            time.sleep(0.2)
    assert time.monotonic() - began < 5


def test_nobody_unknown_makes_a_thread_wait(endpoints: Pair) -> None:
    for said in (b"Content-Length: 5000000", b"Transfer-Encoding: chunked"):
        for path in (b"/device", b"/account/login"):
            head = b"POST %b HTTP/1.1\r\nHost: api\r\n%b\r\n\r\n" % (path, said)
            found = answer(connect(endpoints[0].url, head))
            assert found.startswith(b"HTTP/1.1 401 Unauthorized\r\n")


def test_who_is_refused_while_sending_sees_why(endpoints: Pair, portal_url: str) -> None:
    url = endpoints[0].url
    denied = (401, "Authorization Denied")
    assert ask(url, "POST", "/data", "x" * 20_000_000, token="nonsense") == denied
    status, message = ask(url, "POST", "/data", "x" * 70_000_000, token=endpoints[0].token)
    assert (status, message) == (413, "The body is larger than 64 MB")
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{portal_url}/sign-in/", b"x" * 20_000_000, timeout=30)  # noqa: S310
    assert refused.value.code == 413


def test_a_body_that_comes_steadily_is_taken(endpoints: Pair, hasty_url: str) -> None:
    one = endpoints[0]
    _, made = ask(one.url, "POST", "/device", {"name": "Truck"}, token=one.token)
    pieces = [b'{"variable":"t","value":1,"metadata":{"x":"%b"}},' % (b"x" * 9000)] * 40
    body = b"[" + b"".join(pieces).removesuffix(b",") + b"]"
    assert len(body) > 256 * 1024
    head = f"POST /data HTTP/1.1\r\nHost: api\r\ntoken: {made['token']}\r\nConnection: close\r\n"
    connection = connect(hasty_url, f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
    for begin in range(0, len(body), 40_000):
        connection.sendall(body[begin : begin + 40_000])
        time.sleep(0.2)
    assert answer(connection).startswith(b"HTTP/1.1 200 OK\r\n")
    path = f"/device/{made['device_id']}/data_amount"
    assert ask(one.url, "GET", path, token=one.token) == (200, 40)


BODY = b"Content-Length: 26\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# Headers, and the beginning of a body, that a proxy in front of the server might parse differently.
TWOFOLD = {
    "both": (BODY + CHUNKED, b"400"),
    "two lengths": (BODY + b"Content-Length: 3\r\n", b"400"),
    "a list of lengths": (b"Content-Length: 26, 26\r\n", b"400"),
    "a signed length": (b"Content-Length: +26\r\n", b"400"),
    "a length of Python's": (b"Content-Length: 2_6\r\n", b"400"),
    "a length of 5,000 digits": (b"Content-Length: " + b"9" * 5000 + b"\r\n", b"400"),
    "another coding": (b"Transfer-Encoding: xchunked\r\n", b"501"),
    "a blank before the colon": (b"Transfer-Encoding : chunked\r\n", b"400"),
    "two codings": (CHUNKED + b"Transfer-Encoding: identity\r\n", b"400"),
    "a folded header": (BODY + b"X: a\r\n b\r\n", b"400"),
    "a bare return": (BODY + b"X: a\rContent-Length: 3\r\n", b"400"),
    "two hosts": (BODY + b"Host: other\r\n", b"400"),
}


@pytest.mark.parametrize("kind", TWOFOLD)
def test_what_can_be_read_in_two_ways_is_refused(endpoints: Pair, kind: str) -> None:
    headers, status = TWOFOLD[kind]
    hidden = b"GET /status HTTP/1.1\r\nHost: api\r\n\r\n"
    head = b"POST /account/login HTTP/1.1\r\nHost: api\r\n" + headers + b"\r\n"
    found = answer(connect(endpoints[0].url, head + b"0\r\n\r\n" + b"x" * 21 + hidden))
    assert found.startswith(b"HTTP/1.1 " + status)
    assert found.count(b"HTTP/1.1 ") == 1


def test_headers_with_underscores_count_for_nothing(endpoints: Pair) -> None:
    token = endpoints[0].token
    head = f"GET /device HTTP/1.1\r\nHost: api\r\nConnection: close\r\nProfile_Token: {token}\r\n"
    assert answer(connect(endpoints[0].url, f"{head}\r\n".encode())).startswith(b"HTTP/1.1 401 ")


def test_clients_that_leave_at_once_keep_no_thread(endpoints: Pair) -> None:
    one = endpoints[0]
    for begun in (unfinished("/device", one.token)[2:] * 12)[:48]:
        connect(one.url, begun).close()
    get = f"GET /device HTTP/1.1\r\nHost: api\r\ntoken: {one.token}\r\n\r\n".encode()
    for _ in range(50):
        connect(one.url, get).close()
    for _ in range(5):
        quick(lambda: ask(one.url, "GET", "/device", token=one.token))


def test_a_server_stops_while_clients_are_connected(endpoints: Pair, tmp_path: Path) -> None:
    one = endpoints[0]
    path = f"/events?channel=notification&token={one.token}"
    with running(
        "backups_portal.tagoio_api.asgi",
        database_of_this_test(),
        tmp_path / "api.log",
        end_in_order,
    ) as url:
        streams = [connect(url, f"GET {path} HTTP/1.1\r\nHost: api\r\n\r\n".encode()) for _ in "ab"]
        for stream in streams:
            assert b"listening" in stream.recv(10_000) + stream.recv(10_000)
        began = time.monotonic()
    # The graceful timeout, for other answers in progress, is two seconds.
    assert time.monotonic() - began < 4
    for stream in streams:
        assert answer(stream).endswith(b"0\r\n\r\n")

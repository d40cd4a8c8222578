"""Requests to addresses that users typed: their allowed targets and time limits."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpcore
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups_portal.lib.safe_http import (
    Answer,
    OutgoingError,
    check_address,
    host_of,
    is_public,
    send,
    without_login,
)
from tests.notifications.receivers import Receiver, receiver


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def ask(url: str, *, to_private: bool = True, seconds: float = 5.0, **options: Any) -> Answer:
    return send("POST", url, to_private=to_private, seconds=seconds, **options)


def test_the_status_is_what_is_told(server: Receiver) -> None:
    server.answers = [202]
    assert ask(server.url, content=b"{}", headers={"X-Name": "value"}).status == 202
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/hook/T0PSECRET", b"{}")
    assert asked.headers["X-Name"] == "value"


def test_a_redirect_is_not_followed(server: Receiver) -> None:
    server.answers, server.location = [302], f"{server.url}/elsewhere"
    assert ask(server.url).status == 302
    assert len(server.asked) == 1


@pytest.mark.parametrize("slow", ["hang", "drip"])
def test_who_does_not_answer_in_time_is_left(server: Receiver, slow: str) -> None:
    server.hang, server.drip = (30.0, False) if slow == "hang" else (0.0, True)
    begun = time.monotonic()
    with pytest.raises(OutgoingError, match=r"no answer within 1\.2 seconds"):
        ask(server.url, seconds=1.2)
    assert time.monotonic() - begun < 4


def test_who_is_not_there(server: Receiver) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(OutgoingError, match="No connection"):
            ask(f"http://127.0.0.1:{port}/")


def test_what_is_no_http_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail.example.com ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(OutgoingError, match="not valid HTTP"):
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()


def test_no_certificate_no_secret_told(server: Receiver) -> None:
    with pytest.raises(OutgoingError, match=r"certificate|connection") as error:
        ask(server.url.replace("http:", "https:"))
    assert "T0PSECRET" not in str(error.value)


def test_private_networks_are_not_asked(server: Receiver) -> None:
    with pytest.raises(OutgoingError, match="private network"):
        ask(server.url, to_private=False)
    assert server.asked == []


@pytest.mark.parametrize("name", ["localhost", "[::1]", "0", "127.1", "[::ffff:127.0.0.1]"])
def test_other_names_of_this_machine_are_not_asked_either(server: Receiver, name: str) -> None:
    with pytest.raises(OutgoingError, match=r"private network|no address"):
        ask(server.url.replace("127.0.0.1", name), to_private=False)
    assert server.asked == []


def test_a_name_is_looked_up_once(server: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves publicly when checked and privately when used leads nowhere."""
    asked = []
    real = socket.getaddrinfo

    def changing(host: str, *arguments: Any, **options: Any) -> Any:
        if host != "rebound.example.com":
            return real(host, *arguments, **options)
        asked.append(host)
        found = "203.0.113.7" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, 80))]

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    with pytest.raises(OutgoingError):
        ask(server.url.replace("127.0.0.1", "rebound.example.com"), to_private=False)
    assert (asked, server.asked) == (["rebound.example.com"], [])


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.1.2.3"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1"),
        *("::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "2001:0:7f00:1::", "ff02::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "file:///etc/passwd", "https://", "example.com", "https://[::1"),
        *("//x/", "http://example.com:99999/", "javascript:alert(1)", "https://exämple.com/"),
    ],
)
def test_what_is_no_web_address(url: str) -> None:
    with pytest.raises(OutgoingError):
        host_of(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://hooks.example.com/services/secret?key=1", "hooks.example.com"),
        ("http://user:password@example.com:8080/", "example.com:8080"),
        ("http://[2606:4700::1111]:81/x", "[2606:4700::1111]:81"),
    ],
)
def test_of_an_address_the_log_has_its_host(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user:password@example.com/", "a name and password"),
        ("https://user@example.com/", "a name and password"),
        ("https://:password@example.com/", "a name and password"),
        ("https://@example.com/", "a name and password"),
        ("https://user:pass@word@example.com/", "a name and password"),
        ("https://example.com#@evil.example/", "never sent"),
        ("https://example.com/path#part", "never sent"),
        ("https://example.com/#", "never sent"),
        ("https://example.com./", "letter or digit"),
        ("https://example.com.:443/", "letter or digit"),
        ("https://example.com:/", "letter or digit"),
        ("https://example.com:0/", "letter or digit"),
        ("https://example.com:99999/", "not a web address"),
        ("https://[::1/", "not a web address"),
        ("https://exämple.com/", "xn--"),
        ("https://example.com/ü", "xn--"),
        ("https://exa mple.com/", "contain spaces"),
        ("https://example.com/a b", "contain spaces"),
        ("https://example.com\\@evil.example/", "contain spaces"),
        ("https://exam\tple.com/", "contain spaces"),
        ("https://exam\nple.com/", "contain spaces"),
        ("https:///path", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("//example.com/", "begins with https://"),
    ],
)
def test_what_would_be_sent_otherwise_is_not_saved(url: str, said: str) -> None:
    with pytest.raises(OutgoingError, match=re.escape(said)) as refused:
        check_address(url)
    assert "pass" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/a/b?c=d&c=e%20f",
        "http://[2001:db8::1]:8080/",
        "https://xn--exmple-cua.com/",
        "https://example.com/@user/x:y",
        "https://my_host/",
    ],
)
def test_what_is_sent_as_it_stands_is_saved(url: str) -> None:
    check_address(url)
    assert without_login(url) == url


@settings(deadline=None)
@given(st.text(max_size=60))
def test_whatever_is_saved_has_one_host_and_no_password(text: str) -> None:
    url = f"https://{text}"
    try:
        check_address(url)
    except OutgoingError:
        return
    asked = httpcore.URL(url)
    assert host_of(url).split(":")[0].strip("[") in asked.host.decode() or ":" in host_of(url)
    assert b"@" not in asked.host
    assert without_login(url) == url

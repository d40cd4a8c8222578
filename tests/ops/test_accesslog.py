"""What a running gunicorn logs about requests, and what it omits."""

import http.client
import json
import socket
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.core import signing
from django.urls import get_resolver

from backups_portal.lib.access_log import masked
from tests import factories
from tests.access.test_table import patterns
from tests.conftest import database_of_this_test
from tests.contract.server import running

SIGNED = signing.dumps({"s": uuid.uuid4().hex, "a": 1}, salt="api backup", compress=True)
LONG = signing.dumps({"s": "a" * 500}, salt="api backup", compress=True)
TOKEN = f"p-{uuid.uuid4()}"


def ask(url: str, path: str, **headers: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", path, headers=headers)
    connection.getresponse().read()
    connection.close()


def lines(log: Path, *, at_least: int) -> list[str]:
    """Return the request lines once there are this many."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [line for line in log.read_text().splitlines() if "gunicorn.access" in line]
        if len(found) >= at_least:
            break
        time.sleep(0.05)
    return found


@pytest.mark.django_db(transaction=True)
class TestOfGunicorn:
    def test_links_of_the_portal_are_not_written_down(self, tmp_path: Path) -> None:
        log = tmp_path / "web.out"
        environment = {**database_of_this_test(), "LOG_FORMAT": "json", "PROXY_HOPS": "1"}
        with running("backups_portal.asgi", environment, log) as url:
            given = uuid.uuid4().hex
            account = factories.make_account()
            secret = default_token_generator.make_token(account)
            ask(
                url,
                f"/sign-in/new-password/{user_pk_to_url_str(account)}-{secret}/",
                **{"X-Forwarded-For": "192.0.2.7", "X-Request-ID": given, "User-Agent": "Test/1"},
            )
            ask(url, "/nowhere%0A2026-01-01%20forged/")
            found = [json.loads(line) for line in lines(log, at_least=3)]
        (opened,) = [line for line in found if line.get("request") == given]
        assert opened["message"].startswith("GET /sign-in/new-password/***/ status=302")
        assert (opened["status"], opened["address"]) == ("302", "192.0.2.7")
        assert opened["agent"] == "Test/1"
        assert 0 <= opened["seconds"] < 60
        assert opened["time"].endswith("Z")
        assert secret not in log.read_text()
        assert any("/nowhere%0A2026" in line["message"] for line in found)
        # Programs read the whole log, not only requests.
        assert all(json.loads(line) for line in log.read_text().splitlines())

    def test_nor_what_opens_something_at_the_api(self, tmp_path: Path) -> None:
        log = tmp_path / "api.out"
        environment = {**database_of_this_test(), "LOG_FORMAT": "line"}
        with running("backups_portal.tagoio_api.asgi", environment, log) as url:
            paths = [
                *(f"/{place}/{SIGNED}" for place in ("backups", "shared", "scripts")),
                f"/backups/{SIGNED.replace(':', '%3A')}",
                f"/profile/current/token/{TOKEN}",
                f"/device/{TOKEN[2:]}",
                f"/profile/current/token/{TOKEN[:-2]}",
                f"/events?token={TOKEN}",
            ]
            for path in paths:
                ask(url, path, token=TOKEN)
            # A malformed request is answered, and not logged.
            with socket.create_connection(urlsplit(url).netloc.split(":"), 10) as connection:
                connection.sendall(f"GET /events?token={TOKEN} nonsense\r\n\r\n".encode())
                connection.recv(1000)
            found = lines(log, at_least=len(paths))
        assert sum("GET /backups/*** status=" in line for line in found) == 2
        assert any("GET /device/*** status=" in line for line in found)
        assert any("GET /events status=" in line and "request=" in line for line in found)
        text = log.read_text()
        for secret in (SIGNED, TOKEN[:-2], TOKEN[2:], SIGNED.replace(":", "%3A")):
            assert secret not in text


@pytest.mark.parametrize("claim", [SIGNED, LONG], ids=["short", "packed"])
def test_a_signed_claim_is_masked(claim: str) -> None:
    assert masked(f"/shared/{claim}") == "/shared/***"
    assert masked(f"/shared/{claim}/more") == "/shared/***/more"


def test_the_ids_of_the_portals_pages_stay() -> None:
    addresses = [str(pattern.pattern) for pattern in patterns(get_resolver())]
    named = [address for address in addresses if "<uuid:" in address]
    assert named
    for address in named:
        path = "/" + address
        for name in ("snapshot", "check", "restore", "transfer"):
            path = path.replace(f"<uuid:{name}>", str(uuid.uuid4()))
        assert "<uuid:" not in path
        assert masked(path) == path

"""While PostgreSQL is stopped, pages and APIs say so and health answers; then all comes back."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.test import Client

from backups_portal.accounts.models import Account
from tests.conftest import database_of_this_test
from tests.contract.server import running
from tests.factories import make_account
from tests.faults.servers import ServerOfThisRun

METRICS_TOKEN = "m" * 40
PORTAL, API = "backups_portal.asgi", "backups_portal.tagoio_api.asgi"
PROJECT_TOKEN = "p-0123abcd-0000-4000-8000-0123456789"


class Answer:
    """A server's answer to a GET, or to a POST of a body."""

    def __init__(self, url: str, path: str, *, body: bytes | None = None, **headers: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("POST" if body else "GET", path, body, headers)
        response = connection.getresponse()
        self.status, self.headers = response.status, response.headers
        self.text = response.read().decode()
        connection.close()


@pytest.fixture
def session(transactional_db: None) -> dict[str, str]:
    """A signed-in browser's headers."""
    client = Client()
    account: Account = make_account()
    client.force_login(account)
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}


@pytest.fixture
def servers(session: dict[str, str], static_root: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The base URLs of the portal and the projects' API."""
    environment = {
        **database_of_this_test(),
        "METRICS_TOKEN": METRICS_TOKEN,
        # As in the image: error pages need their styles.
        "STATIC_ROOT": str(static_root),
    }
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(name, environment, tmp_path / f"{name}.log"))
            for name in (PORTAL, API)
        }


def test_everything_says_that_the_database_is_away_until_it_is_back(
    servers: dict[str, str], session: dict[str, str]
) -> None:
    portal, api = servers[PORTAL], servers[API]
    assert Answer(portal, "/", **session).status == 200
    assert Answer(api, "/info", token=PROJECT_TOKEN).status == 401
    server = ServerOfThisRun()
    server.kill()
    try:
        _check_the_outage(portal, api, session)
    finally:
        server.start()
    assert Answer(portal, "/", **session).status == 200
    assert Answer(api, "/info", token=PROJECT_TOKEN).status == 401
    for url in (portal, api):
        assert json.loads(Answer(url, "/readyz").text)["database"] == "ok"


def _check_the_outage(portal: str, api: str, session: dict[str, str]) -> None:
    for path in ("/", "/charges/", "/projects/cold-chain/backups/"):
        page = Answer(portal, path, **session)
        assert (page.status, page.headers["Retry-After"]) == (503, "30"), path
        assert "The database is not responding" in page.text
        assert "Content-Security-Policy" in page.headers
    form = Answer(portal, "/sign-in/", body=b"username=a@example.com")
    assert form.status in (403, 503)
    bearer = {"Authorization": f"Bearer bp_{'0' * 40}"}
    problem = Answer(portal, "/api/v1/projects", **bearer)
    assert (problem.status, problem.headers["Retry-After"]) == (503, "30")
    assert json.loads(problem.text)["code"] == "unavailable"
    record = b'[{"variable":"a"}]'
    for path, body in (("/info", None), ("/data", record), ("/data", record * 20_000)):
        failure = Answer(api, path, body=body, token=PROJECT_TOKEN)
        assert (failure.status, failure.headers["Retry-After"]) == (503, "30")
        assert failure.headers["Access-Control-Allow-Origin"] == "*"
        message = {"status": False, "message": "The portal's database does not answer"}
        assert json.loads(failure.text) == message
    for url in (portal, api):
        assert Answer(url, "/healthz").status == 200
        ready = Answer(url, "/readyz")
        assert (ready.status, json.loads(ready.text)["database"]) == (503, "unavailable")
        figures = Answer(url, "/metrics", Authorization=f"Bearer {METRICS_TOKEN}")
        assert figures.status == 200
        assert 'backups_portal_up{of="database"} 0.0' in figures.text
        assert 'backups_portal_up{of="redis"} 1.0' in figures.text
        assert Answer(url, "/metrics").status == 404


def test_a_server_that_never_answers_is_given_up_in_time(
    transactional_db: None, tmp_path: Path
) -> None:
    """A server behind a cut network refuses nothing and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        environment = {
            "DATABASE_URL": f"postgresql://portal@127.0.0.1:{port}/portal",
            "METRICS_TOKEN": METRICS_TOKEN,
        }
        with running(PORTAL, environment, tmp_path / "portal.log") as url:
            asked = time.monotonic()
            figures = Answer(url, "/metrics", Authorization=f"Bearer {METRICS_TOKEN}")
            # Prometheus waits for ten seconds.
            assert time.monotonic() - asked < 9
            assert 'backups_portal_up{of="database"} 0.0' in figures.text
            problem = Answer(url, "/api/v1/projects", Authorization=f"Bearer bp_{'0' * 40}")
            assert problem.status == 503

"""The manual's reverse proxy examples, in front of a running portal and API."""

import http.client
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from backups_portal.demo.ports import free_port
from tests.conftest import database_of_this_test
from tests.contract.server import running
from tests.manual.pages import ROOT

PAGE = (ROOT / ".github" / "docs" / "operating.md").read_text()
PORTAL, API = "portal.example.com", "api.example.com"


def example(language: str) -> str:
    """Return the only fence of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def behind(transactional_db: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The addresses of portal and API behind a proxy that terminates TLS."""
    environment = {
        **database_of_this_test(),
        "BEHIND_PROXY": "1",
        "PROXY_HOPS": "1",
        "SECURE_SSL_REDIRECT": "1",
        "ALLOWED_HOSTS": PORTAL,
    }
    with (
        running("backups_portal.asgi", environment, tmp_path / "web.log") as portal,
        running("backups_portal.tagoio_api.asgi", environment, tmp_path / "api.log") as api,
    ):
        yield {
            "http://127.0.0.1:8000": portal,
            "http://127.0.0.1:8001": api,
        }


@pytest.fixture
def proxy(behind: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """The port of an nginx with the manual's example."""
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not here (Debian: apt-get install nginx-light)")
    port = free_port()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", f"/CN={PORTAL}", "-keyout", tmp_path / "privkey.pem"),
            *("-out", tmp_path / "fullchain.pem"),
        ],
        check=True,
        capture_output=True,
    )
    servers = example("nginx").replace("/etc/ssl/portal", str(tmp_path))
    servers = servers.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    for printed, real in behind.items():
        assert printed in servers
        servers = servers.replace(printed, real)
    places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};\n" for name in places)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        # Its workers could not read the folder of a test that runs as root.
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{ access_log off;\n{temporary}{servers}}}\n"
    )
    server = subprocess.Popen([nginx, "-p", tmp_path, "-c", configuration])
    try:
        yield port
    finally:
        server.terminate()
        server.wait()


def ask(port: int, host: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
    """Send a request over TLS to a host name, once the proxy listens."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError):
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
            headers = {"Host": host, "X-Forwarded-Proto": "http"}
            connection.request("POST" if body else "GET", path, body, headers)
            return connection.getresponse()
        time.sleep(0.1)
    pytest.fail("nginx does not listen")


def test_nginx_can_tell_a_file_that_ends_early_from_a_complete_one() -> None:
    """HTTP/1.0, its default, has no chunks: whatever ends a file, it would look complete."""
    printed = example("nginx")
    assert printed.count("proxy_http_version 1.1;") == printed.count("proxy_pass ") == 2


def test_nginx_as_printed(proxy: int, behind: dict[str, str]) -> None:
    # A request that bypasses the proxy is redirected to HTTPS; the proxy overwrites forged headers.
    direct = http.client.HTTPConnection(urlsplit(behind["http://127.0.0.1:8000"]).netloc)
    direct.request("GET", "/api/v1/openapi.json", headers={"Host": PORTAL})
    assert direct.getresponse().status == 301
    assert ask(proxy, PORTAL, "/api/v1/openapi.json").status == 200
    # nginx's default body limit is 1 MB.
    large = ask(proxy, API, "/data", b"[" + b" " * 5_000_000 + b"]")
    assert large.status == 401
    assert "Authorization Denied" in large.read().decode()
    assert ask(proxy, API, "/healthz").read() == b"ok"


def test_caddy_accepts_its_example(tmp_path: Path) -> None:
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("caddy is not here (Debian: apt-get install caddy)")
    file = tmp_path / "Caddyfile"
    file.write_text(example("caddy"))
    command = [caddy, "adapt", "--config", file, "--adapter", "caddyfile", "--validate"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", ["nginx", "caddy"])
def test_an_example_names_both_ports_of_compose(language: str) -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    ports = re.findall(r"127\.0\.0\.1:\$\{\w+_PORT:-(\d+)\}", compose)
    assert len(ports) == 2
    for port in ports:
        assert f"127.0.0.1:{port}" in example(language)

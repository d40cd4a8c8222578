"""The projects' API and the portal as visitors meet them: a gunicorn, on this test's databases."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from backups_portal.demo.ports import free_port

START_SECONDS = 60.0


def running_api(environment: dict[str, str], log: Path) -> AbstractContextManager[str]:
    """The base URL of the projects' API, with these settings beside those of the tests."""
    return running("backups_portal.api.wsgi", environment, log)


@contextmanager
def running(application: str, environment: dict[str, str], log: Path) -> Iterator[str]:
    """The base URL of a server of a WSGI module; it answers."""
    port = free_port()
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", application),
                *(f"--bind=127.0.0.1:{port}", "--worker-class=gthread", "--threads=4"),
                *("--workers=1", "--no-control-socket", "--graceful-timeout=2"),
                *("--limit-request-line=8190", "--access-logfile=-"),
                "--logger-class=backups_portal.lib.accesslog.AccessLogger",
            ],
            env={**os.environ, **environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(server, url, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"the server did not answer:\n{log.read_text()}")

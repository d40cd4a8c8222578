"""The projects' API as clients meet it: a gunicorn of its own, on the databases of this test."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backups_portal.demo.ports import free_port

START_SECONDS = 60.0


@contextmanager
def running_api(environment: dict[str, str], log: Path) -> Iterator[str]:
    """The base URL of a server that answers, with these settings beside those of the tests."""
    port = free_port()
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "backups_portal.api.wsgi"),
                *(f"--bind=127.0.0.1:{port}", "--worker-class=gthread", "--threads=4"),
                *("--workers=1", "--no-control-socket", "--graceful-timeout=2"),
                "--limit-request-line=8190",
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
    pytest.fail(f"the API did not answer:\n{log.read_text()}")

"""The projects' API and the portal as visitors reach them: gunicorn on the test databases."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from backups_portal.demo.ports import free_port
from tests.forked_modules import ModuleProcess
from tests.processes import end_group

START_SECONDS = 60.0


def running_api(environment: dict[str, str], log: Path) -> AbstractContextManager[str]:
    """Run the projects' API with additional settings; return its base URL."""
    return running("backups_portal.tagoio_api.asgi", environment, log)


@contextmanager
def running(
    application: str,
    environment: dict[str, str],
    log: Path,
    end: Callable[[ModuleProcess], None] = end_group,
) -> Iterator[str]:
    """Run a server of an ASGI module; return its base URL once it answers."""
    port = free_port()
    server = ModuleProcess(
        [
            *("gunicorn", application, f"--bind=127.0.0.1:{port}"),
            "--worker-class=backups_portal.lib.gunicorn_worker.Worker",
            *("--workers=1", "--no-control-socket", "--graceful-timeout=2"),
            *("--limit-request-line=8190", "--access-logfile=-"),
            "--logger-class=backups_portal.lib.access_log.AccessLogger",
        ],
        log,
        {**os.environ, **environment},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(server, url, log)
        yield url
    finally:
        end(server)


def _wait_for(server: ModuleProcess, url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"the server did not answer:\n{log.read_text()}")

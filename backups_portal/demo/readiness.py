"""Waiting until the portal's processes do their work."""

import http.client
import time
from collections.abc import Callable, Sequence

from backups_portal.celery import app
from backups_portal.demo.children import Child
from backups_portal.demo.errors import DemoError
from backups_portal.demo.ports import LOOPBACK, api_port

READY_SECONDS = 120.0
WORKERS = 2
BEAT_STARTED = "beat: Starting"


def wait_until_ready(port: int, children: Sequence[Child]) -> None:
    """Return once both web servers answer, the workers have pinged and beat has started.

    Raises:
        DemoError: one of them ended, or was not ready in time.
    """
    by_name = {child.name: child for child in children}
    _wait(children, "the web server", lambda: web_answers(port))
    _wait(children, "the projects' API", lambda: web_answers(api_port(port)))
    _wait(children, "the workers", workers_answer)
    _wait(children, "beat", lambda: BEAT_STARTED in by_name["beat"].log.read_text())


def _wait(children: Sequence[Child], what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise DemoError(f"It took too long until {what} was ready.")
        time.sleep(0.1)


def web_answers(port: int) -> bool:
    """Whether what listens on the port says that it is healthy."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def workers_answer() -> bool:
    """Whether all workers answer a ping over the broker."""
    return len(app.control.ping(timeout=0.5, limit=WORKERS)) == WORKERS

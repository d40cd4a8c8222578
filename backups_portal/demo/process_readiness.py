"""Readiness of the portal's processes."""

import http.client
from collections.abc import Sequence

from backups_portal.celery import app
from backups_portal.demo.child_processes import Child, wait_until
from backups_portal.demo.ports import LOOPBACK, api_port

READY_SECONDS = 120.0
WORKERS = 2
BEAT_STARTED = "beat: Starting"


def wait_until_ready(port: int, children: Sequence[Child]) -> None:
    """Return once both servers answer, the workers ping and beat has started.

    Raises:
        DemoError: one of them ended, or was not ready in time.
    """
    by_name = {child.name: child for child in children}
    for what, is_ready in (
        ("the web server", lambda: web_answers(port)),
        ("the projects' API", lambda: web_answers(api_port(port))),
        ("the workers", workers_answer),
        ("beat", lambda: BEAT_STARTED in by_name["beat"].log.read_text()),
    ):
        wait_until(is_ready, children, what, seconds=READY_SECONDS)


def web_answers(port: int) -> bool:
    """Tell whether the server on the port reports that it is healthy."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def workers_answer() -> bool:
    """Tell whether all workers answer a ping over the broker."""
    return len(app.control.ping(timeout=0.5, limit=WORKERS)) == WORKERS

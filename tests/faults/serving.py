"""Beats and web servers that use the test's database, and requests of an owner's browser."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from backups_portal.celery import app
from backups_portal.demo.ports import LOOPBACK, free_port
from backups_portal.projects.models import Project
from snapshots.models import Snapshot
from tests.brokers import waiting_messages
from tests.conftest import database_of_this_test
from tests.factories import PASSWORD
from tests.faults.laboratory import until
from tests.forked_modules import ModuleProcess
from tests.processes import end_group

COOKIES = ("sessionid", "csrftoken")


@contextmanager
def running_beat(storage_url: str, log: Path, *, seconds: float = 1.0) -> Iterator[ModuleProcess]:
    """Run a beat with this interval instead of a minute."""
    command = [
        *("celery", "-A", "tests.faults.faulty", "beat"),
        *("--schedule", str(log.with_suffix(".schedule")), "--pidfile", "", "--loglevel=INFO"),
    ]
    with _running(command, storage_url, log, BEAT_SECONDS=str(seconds)) as beat:
        yield beat


def messages() -> int:
    """Count the messages that wait for a worker."""
    with app.connection_for_read() as broker:
        return waiting_messages(broker)


def ticks_of(log: Path) -> int:
    """Count the ticks that a beat has sent."""
    return log.read_text().count("Sending due task tick")


@contextmanager
def running_web(storage_url: str, log: Path) -> Iterator[tuple[ModuleProcess, int]]:
    """Run a web server as in a deployment; yield it and its port once it is ready."""
    port = free_port()
    command = [
        *("gunicorn", "backups_portal.asgi", "--no-control-socket", "--workers=1"),
        *(f"--bind={LOOPBACK}:{port}", "--worker-class=backups_portal.lib.gunicorn_worker.Worker"),
    ]
    with _running(command, storage_url, log) as web:
        until(lambda: _answers(port), ticking=False)
        yield web, port


def _answers(port: int) -> bool:
    # Its first process listens long before a worker process has loaded the portal.
    with suppress(OSError), urlopen(f"http://{LOOPBACK}:{port}/healthz", timeout=30) as answer:
        return answer.status == 200
    return False


@contextmanager
def _running(
    command: list[str], storage_url: str, log: Path, **environment: str
) -> Iterator[ModuleProcess]:
    process = ModuleProcess(
        command,
        log,
        {
            **os.environ,
            "SNAPSHOT_STORAGE": storage_url,
            # The checks make beat import every page, which takes as long as the rest of the start.
            "CELERY_SKIP_CHECKS": "1",
            **database_of_this_test(),
            **environment,
        },
    )
    try:
        yield process
    finally:
        end_group(process)


def restore_request(snapshot: Snapshot, name: str) -> tuple[bytes, bytes]:
    """Return head and body of a browser's request when an owner clicks Restore."""
    client = _signed_in(snapshot.project)
    path = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restore/"
    page = client.get(path).content.decode()
    (key,) = re.findall(r'name="request_key" value="([^"]*)"', page)
    token = client.cookies["csrftoken"].value
    body = urlencode(
        {
            "name": name,
            "accept_charges": "on",
            "request_key": key,
            "csrfmiddlewaretoken": token,
        }
    ).encode()
    return _head(client, path, "application/x-www-form-urlencoded", body), body


def import_request(project: Project, device: str, content: bytes) -> tuple[bytes, bytes]:
    """Return head and body of a browser's request when an owner imports a CSV file."""
    client = _signed_in(project)
    path = f"/projects/{project.slug}/data/"
    client.get(path)
    file = SimpleUploadedFile("in.csv", content)
    token = client.cookies["csrftoken"].value
    form = {"device": device, "file": file, "import": "1", "csrfmiddlewaretoken": token}
    body = encode_multipart(BOUNDARY, form)
    # The answer is a partial page, which needs no static files from a web server.
    return _head(client, path, f"{MULTIPART_CONTENT}\r\nHX-Request: true", body), body


def _signed_in(project: Project) -> Client:
    """Return a browser client of the project's owner."""
    client = Client()
    owner = {"username": project.created_by.email, "password": PASSWORD}
    assert client.post("/sign-in/", owner).status_code == 302
    return client


def _head(client: Client, path: str, kind: str, body: bytes) -> bytes:
    cookies = "; ".join(f"{name}={client.cookies[name].value}" for name in COOKIES)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\n"
        f"Content-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode()

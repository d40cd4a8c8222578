"""SIGTERM in the middle of something: what is begun is finished, and nothing is lost."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

from django.test import Client

from backups_portal.demo.ports import free_port
from restores.models import Restore
from snapshots.models import Snapshot
from tests.conftest import database_of_this_test, running_worker
from tests.faults.conftest import WORKER_ENVIRONMENT
from tests.faults.laboratory import (
    Laboratory,
    ask,
    check_that_all_is_well,
    check_what_is_there,
    finished,
    send,
    until,
)


def test_a_worker_finishes_what_it_has_begun_and_leaves_the_rest_to_the_next(
    laboratory: Laboratory, snapshot: Snapshot, storage_url: str, tmp_path: Path
) -> None:
    restore, behind = ask(snapshot, "Begun"), ask(snapshot, "Behind it")
    held = laboratory.hold_at(restore.pk, "proving")
    options = {
        "application": "tests.faults.faulty",
        "environment": {**WORKER_ENVIRONMENT, "FAULTS": str(laboratory.folder)},
    }
    with running_worker(storage_url, tmp_path / "first.log", **options) as worker:
        send(restore, behind)
        held.wait()
        worker.terminate()
        time.sleep(1)
        assert worker.poll() is None, "it did not wait for the restore"
        held.let_go()
        assert worker.wait(30) == 0
    restore.refresh_from_db()
    behind.refresh_from_db()
    assert restore.state == Restore.State.COMPLETED, restore.reason
    assert (behind.state, behind.attempts) == (Restore.State.QUEUED, 0)
    check_what_is_there(unfinished=1)
    with running_worker(storage_url, tmp_path / "second.log", purge=False, **options):
        # The message itself waited for it: no tick has to find the restore.
        until(finished([behind]), ticking=False)
        check_that_all_is_well()


def test_beat_ends_at_once_and_the_next_one_goes_on(
    transactional_db: None, storage_url: str, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "celery", "-A", "backups_portal", "beat"),
        *("--schedule", str(tmp_path / "beat"), "--pidfile", "", "--loglevel=INFO"),
    ]
    log = tmp_path / "beat.log"
    for _ in range(2):
        with log.open("wb") as stream:
            beat = subprocess.Popen(
                command,
                env={**os.environ, "SNAPSHOT_STORAGE": storage_url, **database_of_this_test()},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        try:
            until(lambda: "beat: Starting" in log.read_text(), ticking=False)
            beat.terminate()
            assert beat.wait(15) == 0
        finally:
            beat.kill()


def test_a_web_server_answers_what_it_has_begun_to_read(
    snapshot: Snapshot, storage_url: str, tmp_path: Path
) -> None:
    client, port = Client(), free_port()
    client.force_login(snapshot.project.created_by)
    path = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restore/"
    with (tmp_path / "web.log").open("wb") as log:
        web = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "backups_portal.wsgi", "--no-control-socket"),
                *(f"--bind=127.0.0.1:{port}", "--worker-class=gthread", "--workers=1"),
            ],
            env={**os.environ, "SNAPSHOT_STORAGE": storage_url, **database_of_this_test()},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: _is_open(port), ticking=False)
        page = client.get(path).content.decode()
        (key,) = re.findall(r'name="request_key" value="([^"]*)"', page)
        token = client.cookies["csrftoken"].value
        body = urlencode(
            {
                "name": "In flight",
                "accept_charges": "on",
                "request_key": key,
                "csrfmiddlewaretoken": token,
            }
        ).encode()
        cookies = f"sessionid={client.cookies['sessionid'].value}; csrftoken={token}"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sent:
            sent.sendall(head.encode() + body[:20])
            time.sleep(1)
            web.terminate()
            time.sleep(0.5)
            sent.sendall(body[20:])
            answer = sent.recv(65_536).decode()
        assert answer.startswith("HTTP/1.1 302"), answer[:300]
        assert web.wait(30) == 0
    finally:
        web.kill()
        web.wait()
    assert Restore.objects.get(name="In flight").state == Restore.State.QUEUED
    assert not _is_open(port)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""SIGTERM lets running work finish, and loses nothing."""

import socket
import time
from pathlib import Path

from backups_portal.celery import app
from backups_portal.demo.ports import LOOPBACK, is_free
from restores.models import Restore
from snapshots.models import Snapshot
from tests.conftest import running_worker
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
from tests.faults.serving import messages, restore_request, running_beat, running_web


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
    check_what_is_there(unfinished=1, projects=2)
    with running_worker(storage_url, tmp_path / "second.log", purge=False, **options):
        # The message itself waited for it, so no tick has to find the restore.
        until(finished([behind]), ticking=False)
        check_that_all_is_well(projects=3)


def test_beat_ends_at_once_and_the_next_one_goes_on(
    transactional_db: None, storage_url: str, tmp_path: Path
) -> None:
    for _ in range(2):
        app.control.purge()
        with running_beat(storage_url, tmp_path / "beat.log", seconds=2) as beat:
            until(lambda: messages() > 0, ticking=False)
            # Between two ticks, where it spends nearly all its time.
            time.sleep(0.5)
            beat.terminate()
            assert beat.wait(15) == 0


def test_a_web_server_answers_what_it_has_begun_to_read(
    snapshot: Snapshot, storage_url: str, tmp_path: Path
) -> None:
    with running_web(storage_url, tmp_path / "web.log") as (web, port):
        head, body = restore_request(snapshot, "In flight")
        with socket.create_connection((LOOPBACK, port), timeout=30) as sent:
            sent.sendall(head + body[:20])
            time.sleep(1)
            web.terminate()
            time.sleep(0.5)
            sent.sendall(body[20:])
            answer = sent.recv(65_536).decode()
        assert answer.startswith("HTTP/1.1 302"), answer[:300]
        assert web.wait(30) == 0
    assert Restore.objects.get(name="In flight").state == Restore.State.QUEUED
    assert is_free(port)

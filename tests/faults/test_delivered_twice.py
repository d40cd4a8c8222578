"""A request or message that arrives twice is done once."""

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.demo.ports import LOOPBACK
from restores.models import Restore
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import queue_due
from snapshots.tasks import enqueue
from tests.conftest import running_worker
from tests.faults.conftest import WORKER_ENVIRONMENT
from tests.faults.laboratory import (
    Laboratory,
    ask,
    check_that_all_is_well,
    finished,
    send,
    until,
)
from tests.faults.serving import restore_request, running_web

CLICKS = 4


def answers(port: int, head: bytes, body: bytes) -> list[str]:
    """Return the web server's answers to several simultaneous clicks."""
    together = Barrier(CLICKS)

    def click(_: int) -> str:
        with socket.create_connection((LOOPBACK, port), timeout=30) as sent:
            sent.sendall(head + body[:-1])
            together.wait()
            sent.sendall(body[-1:])
            return sent.makefile().read()

    with ThreadPoolExecutor(CLICKS) as pool:
        return list(pool.map(click, range(CLICKS)))


@pytest.mark.usefixtures("worker")
def test_a_double_click_on_restore(snapshot: Snapshot, storage_url: str, tmp_path: Path) -> None:
    with running_web(storage_url, tmp_path / "web.log") as (_, port):
        said = answers(port, *restore_request(snapshot, "Clicked"))
    restore = Restore.objects.get()
    for answer in said:
        assert answer.startswith("HTTP/1.1 302"), answer[:300]
        assert f"location: /restores/{restore.pk}/" in answer
    until(finished([restore]))
    restore.refresh_from_db()
    assert (restore.state, restore.attempts) == (Restore.State.COMPLETED, 1), restore.reason
    assert AuditEvent.objects.filter(action="restore.requested").count() == 1
    check_that_all_is_well(projects=2)


def test_redis_thinks_a_worker_dead_that_takes_long(
    laboratory: Laboratory, snapshot: Snapshot, storage_url: str, tmp_path: Path
) -> None:
    (again,) = (Snapshot.objects.get(pk=pk) for pk in queue_due(timezone.now() + timedelta(days=1)))
    restore = ask(snapshot, "Once")
    held = [laboratory.hold_at(again.pk, "describing"), laboratory.hold_at(restore.pk, "loading")]
    log = tmp_path / "worker.log"
    with running_worker(
        storage_url,
        log,
        application="tests.faults.faulty",
        # Two are held; the third has time for redelivered messages.
        processes=3,
        environment={
            **WORKER_ENVIRONMENT,
            "FAULTS": str(laboratory.folder),
            "VISIBILITY_SECONDS": "2",
        },
    ):
        enqueue([again.pk])
        send(restore)
        for one in held:
            one.wait()
        until(lambda: _was_refused(log, again) and _was_refused(log, restore), ticking=False)
        for one in held:
            one.let_go()
        until(finished([again, restore]), ticking=False)
        for one in (again, restore):
            one.refresh_from_db()
            assert (one.state, one.attempts) == ("completed", 1), one.reason
        check_that_all_is_well(projects=2)


def _was_refused(log: Path, row: Snapshot | Restore) -> bool:
    """Return whether a second worker received the row and left it alone."""
    said = f"or is another worker's {type(row).__name__.lower()}={row.pk}"
    return said in log.read_text()

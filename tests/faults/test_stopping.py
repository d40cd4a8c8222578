"""SIGTERM in the middle of something: what is begun is finished, and nothing is lost."""

import os
import subprocess
import sys
import time
from pathlib import Path

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

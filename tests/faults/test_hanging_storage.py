"""A bucket whose server accepts every connection and then says nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from restores.models import Restore
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import queue_due
from snapshots.tasks import enqueue
from tests.conftest import running_worker
from tests.faults.buckets import BUCKET, Door, access, door_before, s3_server
from tests.faults.conftest import DUE, WORKER_ENVIRONMENT
from tests.faults.laboratory import ask, check_that_all_is_well, finished, send, until

# The timeout of an answer and the retry time, in seconds.
TIMEOUT, PATIENCE = 1, 2


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with s3_server(tmp_path / "s3") as port, door_before(port) as door:
        yield door


@pytest.fixture
def storage_url(door: Door, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket behind the proxy instead of the other tests' folder."""
    for name, value in access(door.port, seconds=TIMEOUT).items():
        monkeypatch.setenv(name, value)
    settings.SNAPSHOT_STORAGE = f"s3://{BUCKET}/snapshots"
    return settings.SNAPSHOT_STORAGE


def test_what_waits_for_it_fails_and_the_next_run_needs_nobody(
    door: Door, snapshot: Snapshot, storage_url: str, tmp_path: Path
) -> None:
    (hanging,) = (Snapshot.objects.get(pk=pk) for pk in queue_due(DUE.replace(day=2)))
    restore = ask(snapshot, "From a bad place")
    with running_worker(
        storage_url,
        tmp_path / "worker.log",
        application="tests.faults.faulty",
        processes=2,
        environment={**WORKER_ENVIRONMENT, "STORAGE_PATIENCE": str(PATIENCE)},
    ):
        with door.shut():
            enqueue([hanging.pk])
            send(restore)
            until(finished([hanging, restore]))
            # The waiting client has hung up.
            until(lambda: door.given_up > 1, ticking=False)
        hanging.refresh_from_db()
        restore.refresh_from_db()
        assert hanging.state == Snapshot.State.FAILED
        assert restore.state == Restore.State.FAILED
        for reason in (hanging.reason, restore.reason):
            assert "The backup storage could not" in reason
        check_that_all_is_well(projects=1)

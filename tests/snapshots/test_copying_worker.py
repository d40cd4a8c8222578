"""A real worker copies what it has taken without another request."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.ops.tasks import tick
from backups_portal.projects.models import Project
from snapshots.integrity.verification import verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.tasks import enqueue
from tests.conftest import running_worker
from tests.factories import make_snapshot

PATIENCE = 90.0


def wait_for_copies(count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while SnapshotCopy.objects.filter(state=SnapshotCopy.State.COPIED).count() < count:
        assert time.monotonic() < deadline, list(SnapshotCopy.objects.values("state", "reason"))
        time.sleep(0.2)


@pytest.mark.django_db(transaction=True)
def test_a_snapshot_is_copied_after_it_was_taken_and_the_tick_finds_what_was_lost(
    live_project: Project, settings: Any, tmp_path: Path
) -> None:
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    environment = {"SNAPSHOT_COPY_STORAGE": settings.SNAPSHOT_COPY_STORAGE}
    storage = settings.SNAPSHOT_STORAGE
    with running_worker(storage, tmp_path / "log", environment=environment):
        enqueue([snapshot.pk])
        wait_for_copies(1)
        snapshot.refresh_from_db()
        assert verify_copy(snapshot).rows == snapshot.rows

        SnapshotCopy.objects.update(
            state=SnapshotCopy.State.QUEUED, lease_until=timezone.now() - timedelta(seconds=1)
        )
        tick()
        wait_for_copies(1)

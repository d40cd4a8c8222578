"""Sweeping a project's storage while no snapshot of it is being taken."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings

from snapshots.engine.errors import StorageError
from snapshots.engine.sweeping import Swept, sweep
from snapshots.locks import session_lock, wait_for_lock
from snapshots.models import Snapshot
from snapshots.storages import snapshot_storage

log = logging.getLogger(__name__)


def sweep_project(project_id: UUID) -> Swept | None:
    """Remove the project's orphaned segments, and report objects that storage lacks.

    Returns:
        What was done, or None where a snapshot is being taken: it may be about to name a segment
        that no manifest names yet.

    Raises:
        EngineError: the storage or a manifest cannot be read.
    """
    with session_lock(_key(project_id)) as is_ours:
        running = Snapshot.objects.filter(project=project_id, state=Snapshot.State.RUNNING)
        if not is_ours or running.exists():
            return None
        swept = sweep(snapshot_storage(), project_id, grace=settings.ORPHAN_GRACE)
    log.info("swept project=%s removed=%s bytes=%s", project_id, swept.removed, swept.removed_bytes)
    for key in swept.missing:
        log.error("storage lacks an object that a backup names project=%s key=%s", project_id, key)
    return swept


@contextmanager
def unswept(project_id: UUID) -> Iterator[None]:
    """Keep sweeps of the project away while objects are written that a manifest will name."""
    with session_lock(_key(project_id)) as is_ours:
        if not is_ours:
            raise StorageError("The storage of this project is being swept; try again soon.")
        yield


def wait_for_sweep(project_id: UUID) -> None:
    """Let a sweep of the project end. The caller's snapshot is marked running: no other begins."""
    wait_for_lock(_key(project_id))


def _key(project_id: UUID) -> int:
    return int.from_bytes(project_id.bytes[:8], signed=True)

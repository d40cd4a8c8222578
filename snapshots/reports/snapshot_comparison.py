"""Compare two backups, or a backup and the main database as it is now."""

import time
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from backups_portal.lib.thread_pool import workers_for
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from snapshots.engine.diff_inputs import LiveReading, find_difference, live_state, stored_state
from snapshots.engine.difference import Difference
from snapshots.engine.errors import EngineError, SourceError
from snapshots.engine.manifest import Manifest
from snapshots.engine.run_progress import OnProgress
from snapshots.engine.source_database import source_errors
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import reading_storage
from snapshots.storages.storage_marker import check_storage_on_missing

# The most that a page reads: about a second. A command reads as much as it takes.
MAX_ROWS_OF_PAGE = 1_000_000


@dataclass(frozen=True)
class Compared:
    """The difference, how long it took, and what was read of the database."""

    difference: Difference
    seconds: float
    reading: LiveReading | None = None


@check_storage_on_missing()
def compare_snapshots(before: Snapshot, after: Snapshot) -> Compared:
    """Compare two stored snapshots of a project, reading no segment.

    Raises:
        EngineError: a manifest or an object of the contents is missing or damaged.
    """
    begun = time.monotonic()
    storage = reading_storage()
    states = [
        stored_state(storage, load_manifest(storage, snapshot)) for snapshot in (before, after)
    ]
    return Compared(find_difference(storage, *states), time.monotonic() - begun)


@check_storage_on_missing()
def compare_with_now(
    before: Snapshot, *, most_rows: int | None = None, on_progress: OnProgress | None = None
) -> Compared:
    """Compare a stored snapshot with the main database at this instant.

    Reads what the next backup would read, and leaves the change marks in place.

    Args:
        most_rows: Refuse to read more variables than about this many.

    Raises:
        EngineError: more would have to be read, or the database or an object cannot be read.
    """
    begun = time.monotonic()
    project = before.project
    if project.state != Project.State.ACTIVE:
        raise SourceError("The project is shut down: there is no database to compare with.")
    storage = reading_storage()
    with source_errors():
        dsn = project_dsn(project)
    live, reading = live_state(
        dsn,
        storage,
        find_base=lambda mark: _find_base(project, storage, mark),
        most_rows=most_rows,
        readers=workers_for(settings.SNAPSHOT_READERS),
        on_progress=on_progress or (lambda _: None),
    )
    stored = stored_state(storage, load_manifest(storage, before))
    difference = find_difference(storage, stored, live)
    return Compared(difference, time.monotonic() - begun, reading)


def _find_base(project: Project, storage: Storage, mark: str) -> Manifest | None:
    """Return the manifest with this `mark`, if its snapshot is still good."""
    digest = UUID(mark).hex
    good = Snapshot.objects.good().filter(project=project, manifest_sha256__startswith=digest)
    try:
        return next((load_manifest(storage, snapshot) for snapshot in good), None)
    except EngineError:
        return None

"""Two backups side by side, or a backup and the main database as it is now."""

import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings

from backups_portal.lib.parallel import workers_for
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project
from snapshots.engine.difference import Difference
from snapshots.engine.errors import EngineError, SourceError
from snapshots.engine.manifest import Manifest
from snapshots.engine.source import source_errors
from snapshots.engine.states import find_difference, live_state, stored_state
from snapshots.engine.storage import Storage
from snapshots.engine.taking import OnProgress, Progress
from snapshots.models import Snapshot
from snapshots.storages import reading_storage

# A page waits for no more than this: about a second of reading. A command reads whatever it takes.
MOST_ROWS_FOR_A_PAGE = 1_000_000


@dataclass(frozen=True)
class Reading:
    """What a comparison with now has read of the main database, and when.

    Attributes:
        everything: The newest backup could not be built upon, so that all rows were read.
    """

    seen_at: datetime
    rows: int
    chunks: int
    everything: bool


@dataclass(frozen=True)
class Compared:
    """What differs, how long it took to find, and what was read of the main database."""

    difference: Difference
    seconds: float
    reading: Reading | None = None


def compare_snapshots(before: Snapshot, after: Snapshot) -> Compared:
    """What differs between two stored snapshots of a project, told without their segments.

    Raises:
        EngineError: a manifest or an object of the contents is missing or damaged.
    """
    begun = time.monotonic()
    storage = reading_storage()
    states = [
        stored_state(storage, Manifest.load(storage, snapshot.manifest))
        for snapshot in (before, after)
    ]
    return Compared(find_difference(storage, *states), time.monotonic() - begun)


def compare_with_now(
    before: Snapshot, *, most_rows: int | None = None, on_progress: OnProgress | None = None
) -> Compared:
    """What differs between a stored snapshot and the main database at this instant.

    Reads what the next backup would read, and leaves its marks alone.

    Args:
        most_rows: Refuse to read more variables than about this.

    Raises:
        TooManyRowsError: more would have to be read.
        EngineError: the database or an object cannot be read.
    """
    begun = time.monotonic()
    project = before.project
    if project.state != Project.State.ACTIVE:
        raise SourceError("The project is shut down: there is no database to compare with.")
    storage = reading_storage()
    with source_errors():
        dsn = project_dsn(project)
    live = live_state(
        dsn,
        storage,
        find_base=lambda pk: _find_base(project, storage, pk),
        most_rows=most_rows,
        readers=workers_for(settings.SNAPSHOT_READERS),
        on_progress=on_progress or _quiet,
    )
    stored = stored_state(storage, Manifest.load(storage, before.manifest))
    return Compared(
        find_difference(storage, stored, live.state),
        time.monotonic() - begun,
        Reading(live.seen_at, live.rows_read, live.chunks_read, live.everything),
    )


def _find_base(project: Project, storage: Storage, snapshot_id: str) -> Manifest | None:
    """The manifest of a good snapshot that is still there."""
    good = Snapshot.objects.good().filter(project=project, pk=UUID(snapshot_id)).first()
    try:
        return Manifest.load(storage, good.manifest) if good else None
    except EngineError:
        return None


def _quiet(_: Progress) -> None:
    """Nobody looks."""

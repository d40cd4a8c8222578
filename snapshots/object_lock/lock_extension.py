"""Keep stored snapshots locked in a bucket while they are retained."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import MainDatabase
from snapshots.engine.errors import EngineError
from snapshots.engine.fallback_storage import is_away
from snapshots.engine.manifest import Manifest
from snapshots.engine.snapshot_lock import KnownLocks, lock_snapshot
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.object_lock.lock_notes import Noted, mark, note
from snapshots.object_lock.lock_plan import LockPlan, plan_lock
from snapshots.storages.configured_storages import copy_storage, snapshot_storage

log = get_logger(__name__)


def lock_taken(
    snapshot: Snapshot,
    storage: Storage,
    manifest: Manifest,
    base: Manifest | None,
    *,
    on_object: Callable[[], None],
) -> None:
    """Lock a snapshot that was just stored until it expires, and note it.

    Objects shared with its base are skipped while the base is locked for long enough.

    Args:
        on_object: Called from the locking threads before each object; its exceptions end the run.

    Raises:
        StorageError: an object could not be locked.
    """
    if storage.lock is None:
        return
    plan = plan_lock(manifest.taken_at, _retention(snapshot.project_id), timezone.now())
    row = Snapshot.objects.filter(pk=snapshot.pk)
    marked = mark(row)
    base_until = _locked_until(Snapshot.objects.filter(pk=base.snapshot_id)) if base else None
    # A killed try may have written some shared objects again, without leaving a note.
    is_first_try = snapshot.attempts == 1
    is_shared_locked = is_first_try and base_until is not None and base_until >= plan.least
    until = lock_snapshot(
        storage,
        manifest,
        plan.until,
        KnownLocks(
            base.objects.keys() - manifest.new_keys if base and is_shared_locked else (),
            least=base_until if is_shared_locked else None,
            new={*manifest.new_keys, manifest.key},
        ),
        on_object=on_object,
    )
    note(row, marked, until)
    log.info("locked", snapshot=snapshot.pk, until=until)


def _locked_until(rows: Noted) -> datetime | None:
    """Read a lock's end again: the loaded row may be out of date."""
    return rows.values_list("locked_until", flat=True).first()


def lock_copied(
    snapshot: Snapshot,
    storage: Storage,
    written: Collection[str],
    last: SnapshotCopy | None,
    *,
    on_object: Callable[[], None],
) -> None:
    """Lock a copy that was just made until it expires, and note until when.

    Args:
        written: Names of the objects that had to be written.
        last: The project's previous copy.
        on_object: As for `lock_taken`.

    Raises:
        EngineError: an object could not be locked.
    """
    row = SnapshotCopy.objects.filter(pk=snapshot.pk)
    marked, now = mark(row), timezone.now()
    plan = _plan(snapshot, _retention(snapshot.project_id), now, newest=None)
    if storage.lock is None or plan.until <= now:
        note(row, marked, None)
        return
    shared: frozenset[str] = frozenset()
    least = _locked_until(SnapshotCopy.objects.filter(pk=last.pk)) if last else None
    if last and least and least >= plan.least:
        before = load_manifest(storage, last.snapshot).objects
        shared = frozenset(before) - frozenset(written)
    manifest = load_manifest(storage, snapshot)
    until = lock_snapshot(
        storage,
        manifest,
        plan.until,
        KnownLocks(shared, least=least if shared else None, new=written),
        on_object=on_object,
    )
    note(row, marked, until)
    log.info("locked the copy", snapshot=snapshot.pk, until=until)


class Due(NamedTuple):
    """A snapshot to lock for longer, and the mark that `mark` left on it."""

    snapshot: Snapshot
    until: datetime
    marked: datetime


def extend_locks(project_id: UUID, now: datetime) -> int:
    """Lock a project's snapshots while they are kept; return how many.

    Raises:
        EngineError: a snapshot could not be locked; the others were.
    """
    storage = snapshot_storage()
    rows = Snapshot.objects.good().filter(project=project_id)
    return _extend(storage, project_id, rows, Snapshot.objects.all(), now)


def extend_copy_locks(project_id: UUID, now: datetime) -> int:
    """Lock a project's copies for longer, as `extend_locks` does."""
    storage = copy_storage()
    if storage is None:
        return 0
    copies = SnapshotCopy.objects.filter(state=SnapshotCopy.State.COPIED)
    rows = Snapshot.objects.good().filter(project=project_id, copy__in=copies)
    return _extend(storage, project_id, rows, copies, now)


def forget_locks(project_id: UUID) -> None:
    """Have the locks of all snapshots checked: objects were written again."""
    Snapshot.objects.filter(project=project_id).update(locked_until=None)


def forget_copy_locks(project_id: UUID) -> None:
    """Have the locks of all copies checked, as `forget_locks` does."""
    SnapshotCopy.objects.filter(snapshot__project=project_id).update(locked_until=None)


def _extend(
    storage: Storage,
    project_id: UUID,
    snapshots: QuerySet[Snapshot],
    noted: Noted,
    now: datetime,
) -> int:
    """Extend the locks of some of a project's snapshots.

    Args:
        noted: The rows with `locked_until`, whose primary key is the snapshot's id.
    """
    if storage.lock is None:
        return 0
    failed: EngineError | None = None
    extended = 0
    done: set[str] = set()
    for snapshot, until, marked in _due(project_id, snapshots, noted, now):
        try:
            manifest = load_manifest(storage, snapshot)
            locked = lock_snapshot(storage, manifest, until, KnownLocks(done))
        except EngineError as error:
            if is_away(error):
                raise
            if not snapshots.filter(pk=snapshot.pk).exists():
                log.info("removed before its lock was extended", snapshot=snapshot.pk)
                continue
            log.error("could not extend a lock: %s", error, snapshot=snapshot.pk)
            failed = error
            continue
        # The snapshots that follow need a shorter lock.
        done.update(manifest.objects)
        if note(noted.filter(pk=snapshot.pk), marked, locked):
            extended += 1
            log.info("lock extended", snapshot=snapshot.pk, until=locked)
    if failed:
        raise failed
    return extended


def _due(
    project_id: UUID,
    snapshots: QuerySet[Snapshot],
    noted: Noted,
    now: datetime,
) -> list[Due]:
    """Find and mark snapshots whose lock ends too early, longest first."""
    retention, newest = _retention(project_id), _newest(project_id)
    found = []
    rows = list(snapshots.select_related("hold").defer("table_rows", "untracked"))
    ends = dict(noted.filter(pk__in=[row.pk for row in rows]).values_list("pk", "locked_until"))
    for row in rows:
        plan = _plan(row, retention, now, newest=newest)
        end = ends.get(row.pk)
        if plan.until > now and (end is None or end < plan.least):
            found.append((row, plan.until, end))
    unnoted = [row.pk for row, _, end in found if end is None]
    moment = mark(noted.filter(pk__in=unnoted, locked_until=None))
    due = [Due(row, until, end or moment) for row, until, end in found]
    return sorted(due, key=lambda one: one.until, reverse=True)


def _plan(
    snapshot: Snapshot, retention: timedelta, now: datetime, *, newest: UUID | None
) -> LockPlan:
    return plan_lock(
        snapshot.taken_at or snapshot.scheduled_for,
        retention,
        now,
        held=snapshot.is_held,
        newest=snapshot.pk == newest,
    )


def _retention(project_id: UUID) -> timedelta:
    days = MainDatabase.objects.values_list("retention_days", flat=True).get(pk=project_id)
    return timedelta(days=days)


def _newest(project_id: UUID) -> UUID | None:
    good = Snapshot.objects.good().filter(project=project_id)
    return good.order_by("-taken_at", "-id").values_list("pk", flat=True).first()

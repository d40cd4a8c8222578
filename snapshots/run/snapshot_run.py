"""One run of a snapshot: the engine takes it, its row records the result."""

from datetime import datetime
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import F

from backups_portal.lib.db_time import database_now
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.leased_job import GivenUpError, LeasedJob, Ran, back_off
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.thread_pool import workers_for
from backups_portal.projects.database_dsn import admin_dsn, who_holds
from backups_portal.projects.due_times import last_run
from backups_portal.projects.models import Project
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.layout import manifest_key
from snapshots.engine.manifest import Manifest, UntrackedChange
from snapshots.engine.pg_timestamps import LAST_CHUNK
from snapshots.engine.run_progress import Progress
from snapshots.engine.snapshot_steps import Step
from snapshots.engine.snapshot_writer import Destination, Listener, Source, take_snapshot
from snapshots.engine.source_database import chunk_start, source_errors
from snapshots.integrity.damage import note_healed
from snapshots.integrity.orphan_objects import wait_for_sweep
from snapshots.integrity.recorded_manifests import catalogue_fields
from snapshots.models import Snapshot, SnapshotQuerySet
from snapshots.object_lock.lock_extension import lock_taken
from snapshots.replication.copy_run import queue_copies
from snapshots.reports.anomaly import COMPARED, Size, smallness
from snapshots.run.incremental_base import find_base
from snapshots.schedule.concurrency import claim
from snapshots.schedule.task_limit import limit_seconds, too_long
from snapshots.storages.configured_storages import snapshot_storage

log = get_logger(__name__)

# A snapshot that kills its worker every time, for lack of memory say, must not be retried forever.
MAX_ATTEMPTS = 5
# The audit log names only this many days; the snapshot's row has them all.
MAX_NAMED = 20
SHUT_DOWN = "The project was shut down before its backup was taken."
INTERRUPTED = (
    f"The backup was interrupted {MAX_ATTEMPTS} times and given up. The next one runs as scheduled."
)
UNEXPECTED = (
    "Something went wrong on our side. The operators' log has the details. "
    "The next backup runs as scheduled."
)


def take(snapshot_id: UUID) -> Ran:
    """Take a queued snapshot; see `LeasedJob.run`.

    If its database server has no room for one more, the snapshot waits and is not claimed. After a
    claimed run, the server has room again.
    """
    return SnapshotJob(snapshot_id).run()


def retry_at(snapshot: Snapshot, now: datetime) -> datetime | None:
    """Return when a failed snapshot is retried; None if it is not.

    It is retried until the run after its own is due, which takes another snapshot.

    Args:
        snapshot: With its project and main database; `failures` excludes the current one.
    """
    then = back_off(settings.SNAPSHOT_RETRY_MINUTES, snapshot.failures, now)
    planned = snapshot.project.main_database
    if then is None:
        return None
    run = last_run(then, planned.backup_time, planned.backup_time_zone)
    return then if snapshot.local_date >= run.local_date else None


class SnapshotJob(LeasedJob[Snapshot]):
    """One attempt at a snapshot."""

    name = "snapshot"
    shown_errors = (EngineError,)
    unexpected = UNEXPECTED
    max_attempts = MAX_ATTEMPTS
    interrupted = INTERRUPTED

    def facts(self) -> dict[str, object]:
        project = self.row.project
        return {**super().facts(), "project": project.pk, "server": project.server.name}

    def rows(self) -> SnapshotQuerySet:
        return Snapshot.objects.select_related("project__server", "project__main_database")

    def claim(self) -> UUID | None:
        return claim(self.pk)

    def begin(self) -> None:
        if self.row.project.state != Project.State.ACTIVE:
            raise GivenUpError(SHUT_DOWN, cause=Cause.SHUT_DOWN)
        super().begin()

    def silent_attempts(self) -> int:
        return self.row.attempts - self.row.failures

    def work(self) -> None:
        self.reach(Step.STARTING)
        manifest = self._run_engine()
        self.reach(Step.RECORDING)
        self._complete(manifest)
        self.reach(Step.DONE)

    def retry_at(self, error: Exception) -> datetime | None:
        is_final = isinstance(error, SoftTimeLimitExceeded)
        return None if is_final else retry_at(self.row, database_now())

    def too_long(self) -> str:
        return too_long("The backup")

    def explain(self, error: Exception) -> dict[str, object]:
        fields = super().explain(error)
        if fields["cause"] == Cause.LOCKED:
            fields["reason"] = f"{error} {who_holds(self.row.project)}".strip()
        return fields

    def clean_up(self) -> dict[str, object]:
        """Remove the manifest of a failed attempt, which would keep its segments.

        All attempts at a snapshot publish under one name, so only the holder of the lease may
        remove it, before releasing the lease. If it is killed in between, the next attempt removes
        it.
        """
        self.renew()
        try:
            self._remove_manifest()
        except StorageError:
            log.warning("could not discard the manifest", snapshot=self.pk, exc_info=True)
        return {}

    def give_up(self, error: Exception, **fields: object) -> None:
        super().give_up(error, **fields)
        self.row.record("snapshot.failed", reason=fields["reason"])

    def postpone(self, then: datetime, **fields: object) -> None:
        super().postpone(then, retry_at=then, failures=F("failures") + 1, **fields)
        self.row.record("snapshot.retried", reason=fields["reason"], again_at=then.isoformat())

    def _run_engine(self) -> Manifest:
        snapshot, storage = self.row, snapshot_storage()
        if snapshot.attempts > 1:
            # An earlier attempt may have published without being able to record it.
            self._remove_manifest()
        wait_for_sweep(snapshot.project_id)
        with source_errors():
            # The project's own role can neither change marks nor read everything.
            dsn = admin_dsn(snapshot.project, statement_seconds=limit_seconds())
        base = find_base(storage, snapshot)
        healed: set[str] = set()
        try:
            return take_snapshot(
                Source(
                    dsn,
                    readers=workers_for(settings.SNAPSHOT_READERS),
                    base=base.manifest,
                    full=base.is_full_due or not base.is_sound,
                    # A database server's wrong clock would change how long the backup is kept.
                    clock=database_now,
                ),
                Destination(storage, snapshot.project_id, snapshot.id, _labels(snapshot)),
                Listener(
                    self._report,
                    on_published=lambda manifest: lock_taken(
                        snapshot, storage, manifest, base.manifest, on_object=self.heartbeat.check
                    ),
                    on_healed=healed.add,
                ),
            )
        finally:
            # Even if the run fails afterwards, because the next try finds everything intact.
            note_healed(snapshot, healed)

    def _report(self, progress: Progress) -> None:
        self.reach(progress.step)
        if progress.step == Step.PUBLISHING:
            # A worker that was suspended for longer than its lease must not publish.
            self.renew()
        self.heartbeat.report(
            rows_done=progress.rows_done,
            rows_total=progress.rows_total,
            bytes_done=progress.bytes_done,
        )

    @transaction.atomic
    def _complete(self, manifest: Manifest) -> None:
        snapshot = self.row
        size_note = smallness(Size(manifest.rows, manifest.logical_bytes), _sizes_before(snapshot))
        untracked = [_as_json(change) for change in manifest.untracked]
        self.finish(
            state=Snapshot.State.COMPLETED,
            reason="",
            cause="",
            size_note=size_note,
            untracked=untracked,
            **catalogue_fields(manifest),
        )
        self.row.record(
            "snapshot.completed", rows=manifest.rows, stored_bytes=manifest.stored_bytes
        )
        if size_note:
            log.warning("snapshot is unusually small: %s", size_note, snapshot=snapshot.pk)
            self.row.record("snapshot.size_anomaly", reason=size_note)
        now = database_now()
        queue_copies([snapshot.project_id], now, failed_before=now)
        if untracked:
            # This snapshot is good: it read everything. Those since the last full one may not be.
            log.error("tracking missed changes %s", untracked, snapshot=snapshot.pk)
            named = untracked[:MAX_NAMED]
            self.row.record("snapshot.untracked_change", changes=named, total=len(untracked))

    def _remove_manifest(self) -> None:
        snapshot_storage().delete(manifest_key(self.row.project_id, self.pk))


def _labels(snapshot: Snapshot) -> dict[str, str]:
    return {
        "project": snapshot.project.name,
        "local_date": snapshot.local_date.isoformat(),
        "time_zone": snapshot.project.main_database.backup_time_zone,
    }


def _sizes_before(snapshot: Snapshot) -> list[Size]:
    """Return the sizes of the newest good snapshots of the same project."""
    good = Snapshot.objects.good().filter(project=snapshot.project_id).exclude(pk=snapshot.pk)
    found = good.filter(rows__isnull=False, logical_bytes__isnull=False).order_by("-taken_at")
    return [Size(*row) for row in found.values_list("rows", "logical_bytes")[:COMPARED]]


def _as_json(change: UntrackedChange) -> dict[str, object]:
    days = {
        name: chunk_start(chunk).date().isoformat()
        if chunk is not None and chunk <= LAST_CHUNK
        else None
        for name, chunk in (("first_day", change.first_chunk), ("end_day", change.end_chunk))
    }
    return {**days, "rows_expected": change.rows_expected, "rows_found": change.rows_found}

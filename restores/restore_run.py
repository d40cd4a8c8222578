"""One run of a restore: a new database, filled, compared, published."""

import uuid
from datetime import datetime

import psycopg
from adbc_driver_manager import Error as AdbcError
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import acting_by_command, record
from backups_portal.billing.prices import Quote
from backups_portal.lib.db_time import database_now
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.leased_job import Ran, back_off
from backups_portal.lib.leases import LeaseQuerySet
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.provisioning import ProvisioningError
from backups_portal.projects.access import Permission, RightLostError, hold_right
from backups_portal.projects.due_times import next_run
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import (
    BackupSettings,
    Instance,
    check_name,
    publish_project,
    settle_instance,
)
from restores.build_steps import Step
from restores.database_build import EVIDENCE, BuildJob, LeftBehindError
from restores.index_rebuild import AGAIN
from restores.missing_references import missing_references
from restores.models import Restore
from restores.proof_queue import queue_proof
from restores.snapshot_loader import Target
from restores.warm_restores import take_over
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.manifest import Manifest
from snapshots.engine.run_progress import OnProgress
from snapshots.integrity.verdicts import pass_snapshot
from snapshots.schedule.task_limit import too_long
from snapshots.storages.configured_storages import reading_storage

log = get_logger(__name__)

UNEXPECTED = "Something unexpected went wrong. Try again. If it fails again, tell your operator."


def run_restore(restore_id: uuid.UUID, on_progress: OnProgress | None = None) -> Ran:
    """Make the new project of a queued restore; see `LeasedJob.run`.

    Running it again for the same restore, even concurrently, makes no second project. A failure
    leaves no database, role, project or charge.

    Args:
        on_progress: Called with the progress, which the row stores as well.
    """
    asked = Restore.objects.filter(pk=restore_id).values_list("operator", flat=True).first()
    with acting_by_command(asked or ""):
        return RestoreJob(restore_id, on_progress).run()


def may_pass(error: Exception) -> bool:
    """Tell whether a server or the storage was unreachable: worth a retry."""
    if isinstance(error, StorageError):
        return True
    return _is_away(error) or _is_away(error.__cause__)


def _is_away(error: BaseException | None) -> bool:
    # A full disk needs an operator, who should hear of it now and not after the retries.
    away = (psycopg.OperationalError, psycopg.InterfaceError, AdbcError)
    return isinstance(error, away) and not isinstance(error, psycopg.errors.DiskFull)


class RestoreJob(BuildJob[Restore]):
    """One attempt at a restore."""

    name = "restore"
    shown_errors = (EngineError, ProvisioningError, NameRefusedError, RightLostError)
    unexpected = UNEXPECTED

    def rows(self) -> LeaseQuerySet:
        return Restore.objects.select_related(
            "snapshot__project__main_database", "requested_by", "server", "wanted_server"
        )

    def work(self) -> None:
        self._hold_right()
        snapshot, wanted = self.row.snapshot, self.row.wanted_server
        warm = take_over(self)
        built = warm or self.build(
            snapshot, name=self.row.name, server_name=wanted.name if wanted else ""
        )
        self.heartbeat.report(step=Step.PUBLISHING)
        self.reach(Step.PUBLISHING)
        report = _report(built.manifest, built.target)
        with transaction.atomic():
            self._publish(built.instance, report=report, was_warm=warm is not None)
            if warm is None:
                pass_snapshot(snapshot, built.manifest, restore_seconds=built.restore_seconds)
        settle_instance(built.instance)
        self.reach(Step.DONE)

    def retry_at(self, error: Exception) -> datetime | None:
        is_away = isinstance(error, (EngineError, ProvisioningError)) and may_pass(error)
        if isinstance(error, EVIDENCE) or not (is_away or isinstance(error, LeftBehindError)):
            return None
        return back_off(settings.RESTORE_RETRY_MINUTES, self.row.attempts - 1, database_now())

    def too_long(self) -> str:
        return too_long("The restore")

    def give_up(self, error: Exception, **fields: object) -> None:
        super().give_up(error, **fields)
        self._record("restore.failed", self.row.requested_by, reason=self.failure)
        log.error("restore %s failed: %s", self.pk, self.failure)
        if isinstance(error, EVIDENCE):
            # Its proof decides whether the snapshot is at fault.
            queue_proof(self.row.snapshot_id)

    def postpone(self, then: datetime, **fields: object) -> None:
        super().postpone(then, step=Step.WAITING, rows_done=0, **fields)
        self._record("restore.postponed", None, reason=self.failure, again_at=then.isoformat())

    @transaction.atomic
    def _hold_right(self) -> None:
        """Check again that the requesting account may still restore."""
        project = self.row.snapshot.project
        hold_right(self.row.requested_by, Permission.MANAGE_BACKUPS, project)

    @transaction.atomic
    def _publish(self, instance: Instance, *, report: JsonObject, was_warm: bool) -> None:
        """Publish the project, charge for it and finish, all or nothing."""
        self.renew()
        self._hold_right()
        restore, source = self.row, self.row.snapshot.project
        backups = _settings_of(source)
        project = publish_project(
            instance=instance,
            name=check_name(restore.name, restore.requested_by),
            owner=restore.requested_by,
            settings=backups,
            quote=Quote(restore.creation_fee, restore.running_fee_per_hour, restore.currency),
            reason=f"Restored from {source.name}"[:200],
        )
        rows = sum(report.get("table_rows", {}).values())
        self.finish(
            project=project,
            state=Restore.State.COMPLETED,
            step=Step.DONE,
            reason="",
            cause="",
            report=report,
            was_warm=was_warm,
            # The task is enqueued at once; if its message is lost, the tick sends another then.
            indexes_due_at=database_now() + AGAIN,
            **({"rows_done": rows} if rows else {}),
        )
        self._record_project(project, source, backups.first_run)
        log.info("restore %s made project %s", self.pk, project.pk)

    def _record_project(self, project: Project, source: Project, first_run: datetime) -> None:
        """Record the completed restore, and the origin of the new project."""
        actor, restore = self.row.requested_by, {"restore": str(self.pk)}
        record(
            action="restore.completed",
            actor=actor,
            project=source,
            subject=project.name,
            details={**restore, "new_project": str(project.pk)},
        )
        origin = {"restored_from": source.name, "first_backup": first_run.isoformat()}
        record(
            action="project.created", actor=actor, project=project, details={**restore, **origin}
        )

    def _record(self, action: str, actor: Account | None, **details: str) -> None:
        record(
            action=action,
            actor=actor,
            project=self.row.snapshot.project,
            subject=self.row.name,
            details={"restore": str(self.pk), **details},
        )


def _settings_of(source: Project) -> BackupSettings:
    """Return the source's backup settings, for the new project."""
    main = source.main_database
    return BackupSettings(
        backup_time=main.backup_time,
        backup_time_zone=main.backup_time_zone,
        retention_days=main.retention_days,
        first_run=next_run(timezone.now(), main.backup_time, main.backup_time_zone),
    )


def _report(manifest: Manifest, target: Target) -> JsonObject:
    """Gather what the owner must know about the new project."""
    return {
        "table_rows": manifest.table_rows,
        "tokens": manifest.table_rows.get("token", 0),
        "missing": missing_references(manifest, reading_storage(), target.dsn),
    }

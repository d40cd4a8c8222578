"""Doing a restore: a new database, filled, proven, and only then shown as a project."""

import logging
import uuid
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from backups_portal.audit.services import record
from backups_portal.billing.prices import Quote
from backups_portal.lib.causes import Cause
from backups_portal.lib.heartbeat import Heartbeat
from backups_portal.lib.leases import LeaseLostError
from backups_portal.projectdb.provisioning import ProvisioningError
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.models import Project
from backups_portal.projects.services import (
    BackupSettings,
    Instance,
    check_name,
    publish_project,
    settle_instance,
)
from restores.building import EVIDENCE, BuildRun, LeftBehindError
from restores.loading import Target
from restores.models import Restore
from restores.proof_queue import queue_proof
from restores.references import missing_references
from restores.retrying import may_pass, retry_at
from restores.warm import take_over
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest
from snapshots.engine.taking import OnProgress
from snapshots.limits import too_long
from snapshots.schedule import next_run
from snapshots.storages import reading_storage
from snapshots.verdicts import pass_snapshot

log = logging.getLogger(__name__)

NO_DATABASE: dict[str, Any] = {"server": None, "prefix": "", "database": ""}
UNEXPECTED = (
    "Something went wrong that we did not expect. Try again; if it fails again, tell the operator."
)


def run_restore(restore_id: uuid.UUID, on_progress: OnProgress | None = None) -> None:
    """Make the new project of a queued restore, unless another worker is at it already.

    Called again for the same restore, at the same time or later, it makes no second project. After
    a failure no database, role, project or charge is left.

    Args:
        on_progress: Told how far it is, beside the row.

    Raises:
        django.db.Error: the control database went away; the tick takes the restore up again.
        Exception: whatever nobody expected, after the restore was marked failed.
    """
    ticket = Restore.objects.all().claim(
        restore_id,
        states=list(Restore.UNFINISHED),
        to=Restore.State.RUNNING,
        lease=settings.LEASE,
    )
    if ticket is None:
        log.info("restore %s is done, or another worker's", restore_id)
        return
    restore = Restore.objects.select_related(
        "snapshot__project__main_database", "requested_by", "server", "wanted_server"
    ).get(pk=restore_id)
    log.info("restore %s attempt %s", restore_id, restore.attempts)
    _Run(restore, ticket, on_progress).run()


class _Run(BuildRun[Restore]):
    """One attempt at a restore."""

    def run(self) -> None:
        try:
            self.under_heartbeat(self._attempt)
        except LeaseLostError:
            log.warning("restore %s was taken over by another worker", self.row.pk)
            self.drop()
        except EVIDENCE as error:
            self._fail(str(error), error.cause)
            # Whether the snapshot is at fault, its proof decides.
            queue_proof(self.row.snapshot_id)
        except (EngineError, ProvisioningError) as error:
            if not self._try_later(error):
                self._fail(str(error), error.cause)
        except NameRefusedError as error:
            self._fail(str(error), Cause.NAME_REFUSED)
        except (OperationalError, InterfaceError):
            # Nothing can be written down; the database is found by whoever follows.
            log.warning("restore %s: the control database went away", self.row.pk)
            raise
        except SoftTimeLimitExceeded:
            self._fail(too_long("The restore"), Cause.TIME_LIMIT)
        except Exception:
            self._fail(UNEXPECTED, Cause.UNEXPECTED)
            raise

    def _attempt(self, heartbeat: Heartbeat) -> None:
        snapshot = self.row.snapshot
        warm = take_over(self, heartbeat)
        wanted = self.row.wanted_server
        built = warm or self.build(
            heartbeat,
            manifest_key=snapshot.manifest,
            name=self.row.name,
            server_name=wanted.name if wanted else "",
        )
        heartbeat.report(step=Restore.Step.PUBLISHING)
        self.reach(Restore.Step.PUBLISHING)
        report = _report(built.manifest, built.target)
        with transaction.atomic():
            self._publish(built.instance, report=report, was_warm=warm is not None)
            if warm is None:
                pass_snapshot(snapshot, restore_seconds=built.restore_seconds)
        settle_instance(built.instance)
        self.reach(Restore.Step.DONE)

    @transaction.atomic
    def _publish(self, instance: Instance, *, report: dict[str, Any], was_warm: bool) -> Project:
        """Show the project, charge for it and finish: all of it, or nothing."""
        restore = Restore.objects.select_for_update(of=("self",)).get(pk=self.row.pk)
        if restore.lease != self.ticket:
            raise LeaseLostError(str(restore.pk))
        source = self.row.snapshot.project
        project = publish_project(
            instance=instance,
            name=check_name(restore.name, self.row.requested_by),
            owner=self.row.requested_by,
            settings=_settings_of(source),
            quote=Quote(restore.creation_fee, restore.running_fee_per_hour, restore.currency),
            reason=f"Restored from {source.name}"[:200],
        )
        self.store(
            project=project,
            state=Restore.State.COMPLETED,
            step=Restore.Step.DONE,
            reason="",
            cause="",
            report=report,
            was_warm=was_warm,
            finished_at=timezone.now(),
            rows_done=sum(report.get("table_rows", {}).values()) or restore.rows_done,
            lease=None,
            lease_until=None,
        )
        record(
            action="restore.completed",
            actor=self.row.requested_by,
            project=source,
            subject=project.name,
            details={"restore": str(restore.pk), "new_project": str(project.pk)},
        )
        log.info("restore %s made project %s", self.row.pk, project.pk)
        return project

    def _try_later(self, error: EngineError | ProvisioningError) -> bool:
        """Queue it again where a later attempt may do better; the tick finds it then."""
        then = retry_at(self.row, timezone.now())
        if then is None or not (isinstance(error, LeftBehindError) or may_pass(error)):
            return False
        log.warning("restore %s is tried again at %s: %s", self.row.pk, then, error)
        gone = NO_DATABASE if self.drop() else {}
        try:
            self.store(
                state=Restore.State.QUEUED,
                step=Restore.Step.WAITING,
                reason=str(error),
                cause=error.cause,
                rows_done=0,
                lease=None,
                lease_until=then,
                **gone,
            )
        except LeaseLostError:
            log.warning("restore %s was taken over meanwhile", self.row.pk)
            return True
        record(
            action="restore.postponed",
            actor=None,
            project=self.row.snapshot.project,
            subject=self.row.name,
            details={
                "restore": str(self.row.pk),
                "reason": str(error),
                "again_at": then.isoformat(),
            },
        )
        return True

    def _fail(self, reason: str, cause: Cause) -> None:
        # A database that could not be dropped stays written down, for the tick to try again.
        gone = NO_DATABASE if self.drop() else {}
        try:
            self.store(
                state=Restore.State.FAILED,
                reason=reason,
                cause=cause,
                finished_at=timezone.now(),
                lease=None,
                lease_until=None,
                **gone,
            )
        except LeaseLostError:
            log.warning("restore %s failed after it was taken over: %s", self.row.pk, reason)
            return
        record(
            action="restore.failed",
            actor=self.row.requested_by,
            project=self.row.snapshot.project,
            subject=self.row.name,
            details={"restore": str(self.row.pk), "reason": reason},
        )
        log.error("restore %s failed: %s", self.row.pk, reason)


def _settings_of(source: Project) -> BackupSettings:
    """The new project is backed up as its source is."""
    main = source.main_database
    return BackupSettings(
        backup_time=main.backup_time,
        backup_time_zone=main.backup_time_zone,
        retention_days=main.retention_days,
        first_run=next_run(timezone.now(), main.backup_time, main.backup_time_zone),
    )


def _report(manifest: Manifest, target: Target) -> dict[str, Any]:
    """What the owner has to know of the new project."""
    return {
        "table_rows": manifest.table_rows,
        "tokens": manifest.table_rows.get("token", 0),
        "missing": missing_references(manifest, reading_storage(), target.dsn),
    }

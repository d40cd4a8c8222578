"""Doing a restore: a new database, filled, proven, and only then shown as a project."""

import logging
import uuid
from typing import Any

import psycopg
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from backups_portal.audit.services import record
from backups_portal.billing.prices import Quote
from backups_portal.lib.heartbeat import Heartbeat
from backups_portal.lib.leases import LeaseLostError
from backups_portal.lib.parallel import workers_for
from backups_portal.projectdb.connections import database_url
from backups_portal.projectdb.provisioning import ProvisioningError, database_name, drop_database
from backups_portal.projects.connections import keyring, server_url
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.servers import open_server
from backups_portal.projects.services import (
    BackupSettings,
    Instance,
    check_name,
    create_instance,
    publish_project,
    unused_prefix,
)
from restores.comparing import compare_with_manifest
from restores.loading import Target, load_snapshot
from restores.models import Restore
from restores.references import missing_references
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from snapshots.engine.taking import Progress
from snapshots.schedule import next_run

log = logging.getLogger(__name__)

# A worker that dies in the middle is replaced this many times before the restore is given up.
MAX_ATTEMPTS = 3
STEPS = {
    "loading": Restore.Step.LOADING,
    "indexing": Restore.Step.INDEXING,
    "proving": Restore.Step.PROVING,
}
UNEXPECTED = (
    "Something went wrong that we did not expect. Nothing was created and nothing is charged. "
    "Try again; if it fails again, tell the operator."
)


def run_restore(restore_id: uuid.UUID) -> None:
    """Make the new project of a queued restore, unless another worker is at it already.

    Called again for the same restore, at the same time or later, it makes no second project. After
    a failure no database, role, project or charge is left.
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
        "snapshot__project__main_database", "requested_by", "server"
    ).get(pk=restore_id)
    log.info("restore %s attempt %s", restore_id, restore.attempts)
    _Run(restore, ticket).run()


class _Run:
    """One attempt at a restore, under one lease."""

    def __init__(self, restore: Restore, ticket: uuid.UUID) -> None:
        self.restore, self.ticket = restore, ticket
        self.server: DatabaseServer | None = None
        self.prefix = ""

    def run(self) -> None:
        try:
            with Heartbeat(
                Restore.objects.all(), self.restore.pk, self.ticket, lease=settings.LEASE
            ) as heartbeat:
                self._clear_earlier_attempt()
                self._attempt(heartbeat)
        except LeaseLostError:
            log.warning("restore %s was taken over by another worker", self.restore.pk)
            self._drop(self.server, self.prefix)
        except (EngineError, ProvisioningError, NameRefusedError) as error:
            self._fail(str(error))
        except Exception:
            self._fail(UNEXPECTED)
            raise

    def _clear_earlier_attempt(self) -> None:
        """Drop what a worker that died has left, and give up when that happens again and again."""
        self._drop(self.restore.server, self.restore.prefix)
        if self.restore.attempts > MAX_ATTEMPTS:
            raise EngineError(f"The restore was interrupted {MAX_ATTEMPTS} times and was given up.")

    def _attempt(self, heartbeat: Heartbeat) -> None:
        # Written down before the database exists, so that whoever follows a crash finds it.
        self.server = server = open_server()
        self.prefix = unused_prefix()
        self._store(
            server=server,
            prefix=self.prefix,
            database=database_name(self.prefix),
            step=Restore.Step.CREATING,
            started_at=self.restore.started_at or timezone.now(),
        )
        storage = open_storage(settings.SNAPSHOT_STORAGE)
        manifest = Manifest.load(storage, self.restore.snapshot.manifest)
        instance = create_instance(
            server=server, project_name=self.restore.name, prefix=self.prefix
        )
        target = Target(
            database_url(server_url(server), database=database_name(self.prefix)),
            self.prefix,
        )

        def on_progress(progress: Progress) -> None:
            heartbeat.report(
                step=STEPS[progress.step],
                rows_done=progress.rows_done,
                rows_total=progress.rows_total,
            )

        load_snapshot(
            manifest,
            storage,
            target,
            keys=keyring(),
            loaders=workers_for(settings.RESTORE_LOADERS),
            on_progress=on_progress,
        )
        compare_with_manifest(
            manifest,
            target,
            readers=workers_for(settings.SNAPSHOT_READERS),
            on_progress=on_progress,
        )
        heartbeat.report(step=Restore.Step.PUBLISHING)
        self._publish(instance, report=_report(manifest, target))

    def _publish(self, instance: Instance, *, report: dict[str, Any]) -> Project:
        """Show the project, charge for it and finish: all of it, or nothing."""
        with transaction.atomic():
            restore = Restore.objects.select_for_update(of=("self",)).get(pk=self.restore.pk)
            if restore.lease != self.ticket:
                raise LeaseLostError(str(restore.pk))
            source = self.restore.snapshot.project
            project = publish_project(
                instance=instance,
                name=check_name(restore.name, self.restore.requested_by),
                owner=self.restore.requested_by,
                settings=_settings_of(source),
                quote=Quote(restore.creation_fee, restore.running_fee_per_hour, restore.currency),
                reason=f"Restored from {source.name}"[:200],
            )
            self._store(
                project=project,
                state=Restore.State.COMPLETED,
                step=Restore.Step.DONE,
                report=report,
                finished_at=timezone.now(),
                rows_done=restore.rows_total or restore.rows_done,
                lease=None,
                lease_until=None,
            )
            record(
                action="restore.completed",
                actor=self.restore.requested_by,
                project=source,
                subject=project.name,
                details={"restore": str(restore.pk), "new_project": str(project.pk)},
            )
        log.info("restore %s made project %s", self.restore.pk, project.pk)
        return project

    def _fail(self, reason: str) -> None:
        self._drop(self.server, self.prefix)
        try:
            self._store(
                state=Restore.State.FAILED,
                reason=reason,
                finished_at=timezone.now(),
                server=None,
                prefix="",
                database="",
                lease=None,
                lease_until=None,
            )
        except LeaseLostError:
            log.warning("restore %s failed after it was taken over: %s", self.restore.pk, reason)
            return
        record(
            action="restore.failed",
            actor=self.restore.requested_by,
            project=self.restore.snapshot.project,
            subject=self.restore.name,
            details={"restore": str(self.restore.pk), "reason": reason},
        )
        log.error("restore %s failed: %s", self.restore.pk, reason)

    def _store(self, **fields: Any) -> None:
        """Change the row while the lease is ours; raises LeaseLostError where it is not."""
        kept = Restore.objects.filter(pk=self.restore.pk, lease=self.ticket).update(**fields)
        if not kept:
            raise LeaseLostError(str(self.restore.pk))

    def _drop(self, server: DatabaseServer | None, prefix: str) -> None:
        """Remove an attempt's database and role, but never a project's."""
        if server is None or not prefix or Project.objects.filter(prefix=prefix).exists():
            return
        try:
            drop_database(server_url(server), prefix=prefix)
        except psycopg.Error:
            # The next attempt, or the sweep of orphan databases, tries again.
            log.exception("could not drop database %s", database_name(prefix))


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
        "missing": missing_references(manifest, target.dsn),
    }

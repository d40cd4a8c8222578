"""The database that a restore or a proof makes from a snapshot."""

import time
import uuid
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from django.conf import settings
from django.utils import timezone

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.leased_job import LeasedJob
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.thread_pool import workers_for
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import (
    ProvisioningError,
    database_name,
    drop_database,
    is_settled,
)
from backups_portal.projects.database_dsn import keyring, server_url
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.project_creation import Instance, create_instance, unused_prefix
from backups_portal.projects.servers import choose_server
from restores.build_steps import Step
from restores.compared_build import complete_and_compare
from restores.models import Proof, Restore
from restores.proof_check import ProofError
from restores.snapshot_loader import Target, UnloadableError, drop_excluded, load_rows
from snapshots.engine.errors import DamagedSnapshotError, EngineError, MissingObjectError
from snapshots.engine.manifest import Manifest
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot
from snapshots.replication.repair import note_need
from snapshots.schedule.task_limit import limit_seconds
from snapshots.storages.configured_storages import reading_storage
from snapshots.storages.storage_marker import check_storage_on_missing

log = get_logger(__name__)

# Attempts that may end without a result, as when a worker dies, before the work is given up.
MAX_ATTEMPTS = 3
# Errors that are evidence against the snapshot itself, and not against a server or a network.
EVIDENCE = (DamagedSnapshotError, MissingObjectError, ProofError, UnloadableError)
NO_DATABASE: dict[str, object] = {"server": None, "prefix": "", "database": ""}
RowT = TypeVar("RowT", Restore, Proof)


@dataclass(frozen=True)
class Built:
    """A database that holds a snapshot, compared row by row."""

    instance: Instance
    target: Target
    manifest: Manifest
    restore_seconds: float
    compare_seconds: float


def target_of(server: DatabaseServer, prefix: str) -> Target:
    """Address the database of a prefix, with the right to change its schema."""
    dsn = database_url(
        server_url(server), database=database_name(prefix), statement_seconds=limit_seconds()
    )
    return Target(dsn, prefix)


def drop_build(server: DatabaseServer | None, prefix: str) -> bool:
    """Drop an attempt's database, but never a project's; tell if none is left."""
    if server is None or server.removed_at or not prefix:
        return True
    if Project.objects.filter(prefix=prefix).exists():
        return True
    try:
        if is_settled(server_url(server), prefix=prefix):
            # The portal's database was restored from a dump made before the project was published.
            log.error("kept database %s: its project is unknown here", database_name(prefix))
            return True
        drop_database(server_url(server), prefix=prefix)
    except psycopg.Error:
        # The next attempt, or the tick, tries again.
        log.exception("could not drop database %s", database_name(prefix))
        return False
    return True


class LeftBehindError(EngineError):
    """The database of an earlier attempt could not be dropped."""

    cause = Cause.DATABASE_UNREACHABLE


class BuildJob(LeasedJob[RowT]):
    """One attempt at a restore or a proof.

    Attributes:
        server: The server of the database being made; until then, that of the previous attempt.
        prefix: The prefix of the same database.
    """

    shown_errors: tuple[type[Exception], ...] = (EngineError, ProvisioningError)
    max_attempts = MAX_ATTEMPTS
    interrupted = f"It was interrupted {MAX_ATTEMPTS} times and given up."

    def __init__(self, pk: uuid.UUID, on_progress: OnProgress | None = None) -> None:
        super().__init__(pk)
        self.server: DatabaseServer | None = None
        self.prefix = ""
        self._watch = on_progress
        self._step_began = timezone.now()

    def begin(self) -> None:
        self.server, self.prefix = self.row.server, self.row.prefix
        self.reach(Step.WAITING)
        super().begin()
        self._clear()

    def facts(self) -> dict[str, object]:
        snapshot, server = self.row.snapshot, self.server
        place = {"snapshot": snapshot.pk, "project": snapshot.project_id}
        return {**super().facts(), **place, **({"server": server.name} if server else {})}

    def clean_up(self) -> dict[str, object]:
        # A database that could not be dropped stays on the row, for the tick to try again.
        return NO_DATABASE if self.drop() else {}

    def abandon(self) -> None:
        self.drop()

    def drop(self) -> bool:
        """Drop the database of this attempt; tell whether it is gone."""
        return drop_build(self.server, self.prefix)

    def _clear(self) -> None:
        """Drop the database that the row names, before it names another."""
        if not self.drop():
            raise LeftBehindError("Leftovers of an earlier attempt could not be removed yet.")
        self.server, self.prefix = None, ""

    def claim_database(self, server: DatabaseServer, step: Step) -> None:
        """Store which database this attempt makes, before it exists."""
        self._clear()
        self.server, self.prefix = server, unused_prefix()
        self.store(
            server=server,
            prefix=self.prefix,
            database=database_name(self.prefix),
            started_at=self.row.started_at or timezone.now(),
            step=step,
            step_started_at=timezone.now(),
        )
        self.reach(step)

    @check_storage_on_missing()
    def build(self, snapshot: Snapshot, *, name: str, server_name: str = "") -> Built:
        """Make the database, load the snapshot into it, and compare every row.

        Args:
            server_name: The server to use; empty: the one with most room.

        Raises:
            EngineError: the snapshot or a server is at fault; see EVIDENCE.
            ProvisioningError: the server could not make the database.
        """
        started = time.monotonic()
        server, storage = choose_server(server_name), reading_storage()
        self.claim_database(server, Step.CREATING)
        manifest = load_manifest(storage, snapshot)
        instance = create_instance(server=server, project_name=name, prefix=self.prefix)
        target = target_of(server, self.prefix)
        bare = load_rows(
            manifest,
            storage,
            target,
            keys=keyring(),
            loaders=workers_for(settings.RESTORE_LOADERS),
            on_progress=self._report,
        )
        ready_at = complete_and_compare(
            manifest,
            target,
            bare,
            workers=workers_for(settings.RESTORE_LOADERS),
            on_progress=self._report,
        )
        drop_excluded(target)
        note_need(manifest.snapshot_id, storage)
        return Built(instance, target, manifest, ready_at - started, time.monotonic() - ready_at)

    def reach(self, step: str) -> None:
        if step != self.step:
            self._step_began = timezone.now()
        super().reach(step)

    def _report(self, progress: Progress) -> None:
        self.reach(progress.step)
        self.heartbeat.report(
            step=progress.step,
            step_started_at=self._step_began,
            rows_done=progress.rows_done,
            rows_total=progress.rows_total,
            bytes_done=progress.bytes_done,
            bytes_total=progress.bytes_total,
        )
        if self._watch:
            self._watch(progress)

"""Making a database out of a snapshot, for a restore or a proof: recorded, loaded, compared."""

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psycopg
from django.conf import settings
from django.utils import timezone

from backups_portal.lib.causes import Cause
from backups_portal.lib.heartbeat import Heartbeat
from backups_portal.lib.leases import LeaseLostError
from backups_portal.lib.parallel import workers_for
from backups_portal.projectdb.connections import database_url
from backups_portal.projectdb.provisioning import database_name, drop_database
from backups_portal.projects.connections import keyring, server_url
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.servers import choose_server
from backups_portal.projects.services import Instance, create_instance, unused_prefix
from restores.comparing import ProofError, compare_with_manifest
from restores.loading import Target, UnloadableError, load_snapshot
from restores.models import Build
from snapshots.copy_needs import note_need
from snapshots.engine.errors import DamagedSnapshotError, EngineError, MissingObjectError
from snapshots.engine.manifest import Manifest
from snapshots.engine.taking import OnProgress, Progress
from snapshots.limits import limit_seconds
from snapshots.storages import reading_storage

log = logging.getLogger(__name__)

# A worker that dies in the middle is replaced this many times before the work is given up.
MAX_ATTEMPTS = 3
# What speaks against the snapshot itself, and not against a server or a network.
EVIDENCE = (DamagedSnapshotError, MissingObjectError, ProofError, UnloadableError)
STEPS = {
    "loading": Build.Step.LOADING,
    "indexing": Build.Step.INDEXING,
    "proving": Build.Step.PROVING,
}
RowT = TypeVar("RowT", bound=Build)


@dataclass(frozen=True)
class Built:
    """A database that holds a snapshot, compared row by row; how long that took, in seconds."""

    instance: Instance
    target: Target
    manifest: Manifest
    restore_seconds: float
    compare_seconds: float


def target_of(server: DatabaseServer, prefix: str) -> Target:
    """The database of a prefix, entered with the right to change its schema."""
    dsn = database_url(
        server_url(server), database=database_name(prefix), statement_seconds=limit_seconds()
    )
    return Target(dsn, prefix)


def drop_build(server: DatabaseServer | None, prefix: str) -> bool:
    """Remove an attempt's database and role, but never a project's; whether they are gone."""
    if server is None or not prefix or Project.objects.filter(prefix=prefix).exists():
        return True
    try:
        drop_database(server_url(server), prefix=prefix)
    except psycopg.Error:
        # The next attempt, or the tick, tries again.
        log.exception("could not drop database %s", database_name(prefix))
        return False
    return True


class LeftBehindError(EngineError):
    """The database of an attempt before is still there: its server did not let it be dropped."""

    cause = Cause.DATABASE_UNREACHABLE


class BuildRun(Generic[RowT]):
    """One attempt at a restore or a proof, under one lease."""

    def __init__(self, row: RowT, ticket: uuid.UUID, on_progress: OnProgress | None = None) -> None:
        self.row, self.ticket = row, ticket
        # Of the attempt before, until this one has a database of its own.
        self.server: DatabaseServer | None = row.server
        self.prefix = row.prefix
        self._watch = on_progress

    def store(self, **fields: Any) -> None:
        """Change the row while the lease is ours; raises LeaseLostError where it is not."""
        rows = type(self.row)._default_manager.filter(pk=self.row.pk, lease=self.ticket)
        if not rows.update(**fields):
            raise LeaseLostError(str(self.row.pk))

    def under_heartbeat(self, work: Callable[[Heartbeat], None]) -> None:
        """Work while the lease is renewed, after what a lost worker left was removed.

        Raises:
            EngineError: workers were lost here again and again.
            LeftBehindError: what the last one left cannot be removed yet.
        """
        rows = type(self.row)._default_manager.all()
        with Heartbeat(rows, self.row.pk, self.ticket, lease=settings.LEASE) as heartbeat:
            self.reach(Build.Step.WAITING)
            self._clear()
            if self.row.attempts > MAX_ATTEMPTS:
                raise EngineError(
                    f"It was interrupted {MAX_ATTEMPTS} times and was given up.",
                    cause=Cause.INTERRUPTED,
                )
            work(heartbeat)

    def _clear(self) -> None:
        """Remove what is written down: once another name takes its place, nobody would find it."""
        if not self.drop():
            raise LeftBehindError("What an earlier attempt left could not be removed yet.")
        self.server, self.prefix = None, ""

    def claim_database(self, server: DatabaseServer, **fields: Any) -> None:
        """Write down which database this attempt makes, before it exists."""
        self._clear()
        self.server, self.prefix = server, unused_prefix()
        self.store(
            server=server,
            prefix=self.prefix,
            database=database_name(self.prefix),
            started_at=self.row.started_at or timezone.now(),
            **fields,
        )

    def reach(self, step: Build.Step) -> None:
        """Say which step has begun: the log tells where a worker was lost."""
        log.info("%s step=%s id=%s", type(self.row).__name__.lower(), step, self.row.pk)

    def build(
        self, heartbeat: Heartbeat, *, manifest_key: str, name: str, server_name: str = ""
    ) -> Built:
        """Make the database, load the snapshot into it, and compare every row.

        Args:
            server_name: Where; empty: where there is most room.

        Raises:
            EngineError: the snapshot or a server is at fault; see EVIDENCE.
            ProvisioningError: the server does not take the database.
        """
        started = time.monotonic()
        server = choose_server(server_name)
        self.claim_database(server, step=Build.Step.CREATING, step_started_at=timezone.now())
        self.reach(Build.Step.CREATING)
        storage = reading_storage()
        manifest = Manifest.load(storage, manifest_key)
        instance = create_instance(server=server, project_name=name, prefix=self.prefix)
        target = target_of(server, self.prefix)
        on_progress = self._reporter(heartbeat)
        load_snapshot(
            manifest,
            storage,
            target,
            keys=keyring(),
            loaders=workers_for(settings.RESTORE_LOADERS),
            on_progress=on_progress,
        )
        loaded = time.monotonic()
        compare_with_manifest(
            manifest,
            target,
            readers=workers_for(settings.SNAPSHOT_READERS),
            on_progress=on_progress,
        )
        note_need(manifest.snapshot_id, storage)
        return Built(instance, target, manifest, loaded - started, time.monotonic() - loaded)

    def drop(self) -> bool:
        """Remove the database of this attempt, or of the one before; whether it is gone."""
        return drop_build(self.server, self.prefix)

    def _reporter(self, heartbeat: Heartbeat) -> OnProgress:
        step, since = Build.Step.CREATING, timezone.now()

        def report(progress: Progress) -> None:
            nonlocal step, since
            if STEPS[progress.step] != step:
                step, since = STEPS[progress.step], timezone.now()
                self.reach(step)
            heartbeat.report(
                step=step,
                step_started_at=since,
                rows_done=progress.rows_done,
                rows_total=progress.rows_total,
                bytes_done=progress.bytes_done,
                bytes_total=progress.bytes_total,
            )
            if self._watch:
                self._watch(progress)

        return report

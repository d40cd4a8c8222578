"""Warm restores: the database of the newest proof, kept closed until a restore takes it over."""

import logging
import time
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from backups_portal.audit.services import record
from backups_portal.lib.heartbeat import Heartbeat
from backups_portal.projectdb.keeping import (
    Seal,
    SealBrokenError,
    check_seal,
    check_writes,
    close_database,
    take_over_database,
)
from backups_portal.projectdb.provisioning import database_name
from backups_portal.projectdb.tokens import renew_tokens
from backups_portal.projects.connections import keyring, server_url
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.projects.services import Instance, new_password
from restores.building import BuildRun, Built, drop_build, target_of
from restores.loading import Target
from restores.models import Proof, Restore
from snapshots.engine.manifest import Manifest
from snapshots.models import Snapshot
from snapshots.storages import reading_storage

log = logging.getLogger(__name__)

WANTED = Q(
    snapshot__state=Snapshot.State.COMPLETED,
    snapshot__verdict=Snapshot.Verdict.PASSED,
    snapshot__project__state=Project.State.ACTIVE,
    snapshot__project__main_database__warm_restore=True,
) & ~Q(snapshot__project__main_database__proof_policy=MainDatabase.ProofPolicy.OFF)


def keeps_warm(project_id: UUID) -> bool:
    """Whether the database of the project's next proof is kept."""
    rows = MainDatabase.objects.filter(pk=project_id, warm_restore=True)
    return rows.exclude(proof_policy=MainDatabase.ProofPolicy.OFF).exists()


def keep(run: BuildRun[Proof]) -> Seal | None:
    """Close the database of a proof that passed; None where it cannot be kept."""
    if run.server is None:
        return None
    try:
        return close_database(server_url(run.server), prefix=run.prefix)
    except (psycopg.Error, SealBrokenError):
        log.warning("could not keep database %s", database_name(run.prefix), exc_info=True)
        return None


def kept_for(snapshot: Snapshot) -> Proof | None:
    """The proof whose database a restore of the snapshot would take over, as things are now."""
    if not snapshot.project.main_database.warm_restore:
        return None
    proof = _kept(snapshot)
    if proof is None or proof.server is None:
        return None
    try:
        check_seal(server_url(proof.server), prefix=proof.prefix, seal=Seal(**proof.seal))
    except (SealBrokenError, psycopg.Error) as error:
        log.warning("a restore of snapshot %s would be cold: %s", snapshot.pk, error)
        return None
    return proof


def take_over(run: BuildRun[Restore], heartbeat: Heartbeat) -> Built | None:
    """Make the kept database of the snapshot this restore's own; None where that cannot be.

    Nothing is compared again: the proof has compared every row, and nothing has changed since.
    """
    proof = _kept(run.row.snapshot)
    if proof is None or proof.server is None or not _is_where_wanted(proof, run.row):
        return None
    if not _claim(proof):
        return None
    started = time.monotonic()
    run.claim_database(proof.server, step=Restore.Step.PUBLISHING, step_started_at=timezone.now())
    try:
        instance = _rename(proof, run.prefix)
        target = target_of(proof.server, run.prefix)
        _make_new(target, proof)
    except (SealBrokenError, psycopg.Error) as error:
        log.error("kept database %s is not used, the restore is cold: %s", proof.database, error)
        drop_build(proof.server, run.prefix)
        return None
    finally:
        _forget(proof)
    heartbeat.check()
    manifest = Manifest.load(reading_storage(), run.row.snapshot.manifest)
    return Built(instance, target, manifest, time.monotonic() - started, 0.0)


def switch_warm_restore(project: Project, *, on: bool) -> None:
    """Keep the databases of a project's proofs from now on, or no longer."""
    changed = MainDatabase.objects.filter(pk=project.pk, warm_restore=not on)
    with transaction.atomic():
        if changed.update(warm_restore=on):
            record(
                action="warm_restore.changed",
                actor=None,
                project=project,
                details={"warm_restore": {"old": not on, "new": on}},
            )


def release_kept(project_id: UUID, *, but: UUID) -> None:
    """Let go of what earlier proofs of the project have kept; the tick drops it."""
    kept = Proof.objects.filter(snapshot__project=project_id, is_kept=True)
    kept.exclude(pk=but).update(is_kept=False)


def unwanted() -> QuerySet[Proof]:
    """Proofs whose kept database nobody wants any more."""
    kept = Proof.objects.filter(is_kept=True)
    return kept.exclude(pk__in=kept.filter(WANTED))


def _kept(snapshot: Snapshot) -> Proof | None:
    kept = Proof.objects.filter(WANTED, snapshot=snapshot, is_kept=True)
    return kept.select_related("server").order_by("-created_at").first()


def _is_where_wanted(proof: Proof, restore: Restore) -> bool:
    return restore.wanted_server_id in (None, proof.server_id)


def _claim(proof: Proof) -> bool:
    """Whether the database is ours to take; until the lease ends the tick does not drop it."""
    ours = Proof.objects.filter(pk=proof.pk, is_kept=True)
    until = timezone.now() + settings.LEASE
    return bool(ours.update(is_kept=False, lease_until=until))


def _rename(proof: Proof, prefix: str) -> Instance:
    if proof.server is None:
        raise SealBrokenError("its server is not known")
    instance = Instance(proof.server, prefix, new_password())
    take_over_database(
        server_url(proof.server),
        old=proof.prefix,
        new=prefix,
        password=instance.password,
        seal=Seal(**proof.seal),
    )
    return instance


def _make_new(target: Target, proof: Proof) -> None:
    """Give the database the ids and tokens of its own that a loaded one would have."""
    with psycopg.connect(target.dsn, connect_timeout=10) as connection:
        check_writes(connection, Seal(**proof.seal))
        renamed = connection.execute(
            """UPDATE instance SET prefix = %s
               WHERE prefix = %s AND marks_since IS NULL RETURNING prefix""",
            [target.prefix, proof.prefix],
        )
        if renamed.fetchone() is None:
            raise SealBrokenError("it is not the database that the proof made")
        renew_tokens(connection, prefix=target.prefix, keys=keyring())


def _forget(proof: Proof) -> None:
    """Drop what is left under the old name, nothing where it was renamed, and write that down."""
    if drop_build(proof.server, proof.prefix):
        gone = Proof.objects.filter(pk=proof.pk, prefix=proof.prefix)
        gone.update(prefix="", database="", lease_until=None)

"""Warm restores: a proof's database is kept for a restore to take over."""

import time
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from backups_portal.audit.recorder import record
from backups_portal.lib import pgsession
from backups_portal.lib.db_time import database_now
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.excluded_settings import remove_excluded_settings
from backups_portal.projectdb.provisioning import database_name
from backups_portal.projectdb.sealed_databases import (
    Seal,
    SealBrokenError,
    check_seal,
    check_writes,
    close_database,
    take_over_database,
)
from backups_portal.projectdb.tokens import renew_tokens
from backups_portal.projects.database_dsn import answering_url, keyring, server_url
from backups_portal.projects.models import DatabaseServer, MainDatabase, Project
from backups_portal.projects.project_creation import Instance, installation, new_password
from restores.build_steps import Step
from restores.database_build import BuildJob, Built, drop_build, target_of
from restores.models import Proof, Restore
from restores.snapshot_loader import Target
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import reading_storage

log = get_logger(__name__)

WANTED = Q(
    snapshot__state=Snapshot.State.COMPLETED,
    snapshot__verdict=Snapshot.Verdict.PASSED,
    snapshot__project__state=Project.State.ACTIVE,
    snapshot__project__main_database__warm_restore=True,
    server__removed_at=None,
) & ~Q(snapshot__project__main_database__proof_policy=MainDatabase.ProofPolicy.OFF)


def keeps_warm(project_id: UUID) -> bool:
    """Tell whether to keep the database of the project's next proof."""
    rows = MainDatabase.objects.filter(pk=project_id, warm_restore=True)
    return rows.exclude(proof_policy=MainDatabase.ProofPolicy.OFF).exists()


def keep(job: BuildJob[Proof]) -> Seal | None:
    """Close the database of a passed proof; None if it cannot be kept."""
    if job.server is None:
        return None
    try:
        return close_database(server_url(job.server), prefix=job.prefix)
    except (psycopg.Error, SealBrokenError):
        log.warning("could not keep database %s", database_name(job.prefix), exc_info=True)
        return None


def kept_for(snapshot: Snapshot) -> Proof | None:
    """Return the proof whose database a restore would take over now."""
    if not snapshot.project.main_database.warm_restore:
        return None
    proof = _kept(snapshot)
    if proof is None or proof.server is None:
        return None
    try:
        check_seal(answering_url(proof.server), prefix=proof.prefix, seal=Seal(**proof.seal))
    except (SealBrokenError, psycopg.Error) as error:
        log.warning("a restore of snapshot %s would be cold: %s", snapshot.pk, error)
        return None
    return proof


def take_over(job: BuildJob[Restore]) -> Built | None:
    """Take over the database that a proof kept of the restore's snapshot.

    Returns None if that is impossible. Rows are not compared again: the proof compared them all,
    and nothing has changed since.
    """
    proof, wanted = _kept(job.row.snapshot), job.row.wanted_server_id
    if proof is None or proof.server is None or wanted not in (None, proof.server_id):
        return None
    # Load the manifest before the claim: a damaged one must not use up the database.
    manifest = load_manifest(reading_storage(), job.row.snapshot)
    if not _claim(proof):
        return None
    started = time.monotonic()
    job.claim_database(proof.server, Step.PUBLISHING)
    try:
        instance = _rename(proof, proof.server, job.prefix)
        target = target_of(proof.server, job.prefix)
        _make_new(target, proof)
    except (SealBrokenError, psycopg.Error) as error:
        log.error("kept database %s is not used, the restore is cold: %s", proof.database, error)
        drop_build(proof.server, job.prefix)
        return None
    finally:
        _forget(proof)
    job.heartbeat.check()
    return Built(instance, target, manifest, time.monotonic() - started, 0.0)


def switch_warm_restore(project: Project, *, on: bool) -> None:
    """Turn a project's warm restores on or off."""
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
    """Release the databases that earlier proofs kept; the tick drops them."""
    kept = Proof.objects.filter(snapshot__project=project_id, is_kept=True)
    kept.exclude(pk=but).update(is_kept=False)


def unwanted() -> QuerySet[Proof]:
    """Return the proofs whose kept database is no longer wanted."""
    kept = Proof.objects.filter(is_kept=True)
    return kept.exclude(pk__in=kept.filter(WANTED))


def _kept(snapshot: Snapshot) -> Proof | None:
    kept = Proof.objects.filter(WANTED, snapshot=snapshot, is_kept=True)
    return kept.select_related("server").order_by("-created_at").first()


def _claim(proof: Proof) -> bool:
    """Claim the database if it is kept; no tick drops it during the lease."""
    ours = Proof.objects.filter(pk=proof.pk, is_kept=True)
    until = database_now() + settings.LEASE
    return bool(ours.update(is_kept=False, lease_until=until))


def _rename(proof: Proof, server: DatabaseServer, prefix: str) -> Instance:
    instance = Instance(server, prefix, new_password())
    take_over_database(
        server_url(server),
        old=proof.prefix,
        new=prefix,
        password=instance.password,
        seal=Seal(**proof.seal),
        installation=installation(),
    )
    return instance


def _make_new(target: Target, proof: Proof) -> None:
    """Give the database a new prefix and new tokens, as a load would."""
    with pgsession.connect(target.dsn) as connection:
        check_writes(connection, Seal(**proof.seal))
        renamed = connection.execute(
            """UPDATE instance SET prefix = %s
               WHERE prefix = %s AND marks_since IS NULL RETURNING prefix""",
            [target.prefix, proof.prefix],
        )
        if renamed.fetchone() is None:
            raise SealBrokenError("it is not the database that the proof made")
        # A proof of an older version may have left them in.
        remove_excluded_settings(connection)
        renew_tokens(connection, prefix=target.prefix, keys=keyring())


def _forget(proof: Proof) -> None:
    """Drop what is left under the old name, and clear it from the row."""
    if drop_build(proof.server, proof.prefix):
        gone = Proof.objects.filter(pk=proof.pk, prefix=proof.prefix)
        gone.update(prefix="", database="", lease_until=None)

"""Doing a proof: a scratch database, loaded and compared as a restore does, and dropped."""

import logging
import uuid

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from backups_portal.audit.services import record
from backups_portal.lib.causes import Cause
from backups_portal.lib.heartbeat import Heartbeat
from backups_portal.lib.leases import LeaseLostError
from backups_portal.projectdb.provisioning import ProvisioningError
from restores.building import EVIDENCE, BuildRun, Built
from restores.models import Proof
from restores.warm import keep, keeps_warm, release_kept
from snapshots.engine.errors import EngineError
from snapshots.engine.taking import OnProgress
from snapshots.limits import too_long
from snapshots.models import Snapshot
from snapshots.verdicts import fail_snapshot, pass_snapshot

log = logging.getLogger(__name__)

GONE = "The backup was removed before it was proven."
UNEXPECTED = "Something went wrong on our side; the operators find the details in the log."


def run_proof(proof_id: uuid.UUID, on_progress: OnProgress | None = None) -> None:
    """Prove the snapshot of a queued proof, unless another worker is at it already.

    Whatever comes of it, its scratch database is dropped; but for one that passed and is kept for a
    warm restore, where an operator asked for that.

    Args:
        on_progress: Told how far it is, beside the row.
    """
    ticket = Proof.objects.all().claim(
        proof_id, states=list(Proof.UNFINISHED), to=Proof.State.RUNNING, lease=settings.LEASE
    )
    if ticket is None:
        log.info("proof %s is done, or another worker's", proof_id)
        return
    proof = Proof.objects.select_related("snapshot__project__main_database", "server").get(
        pk=proof_id
    )
    log.info("proof %s of snapshot %s, attempt %s", proof_id, proof.snapshot_id, proof.attempts)
    _Run(proof, ticket, on_progress).run()


class _Run(BuildRun[Proof]):
    """One attempt at a proof."""

    def run(self) -> None:
        try:
            self.under_heartbeat(self._attempt)
        except LeaseLostError:
            log.warning("proof %s was taken over by another worker", self.row.pk)
            self.drop()
        except EVIDENCE as error:
            self._end(Proof.State.FAILED, str(error), error.cause)
        except (EngineError, ProvisioningError) as error:
            self._end(Proof.State.GIVEN_UP, str(error), error.cause)
        except SoftTimeLimitExceeded:
            self._end(Proof.State.GIVEN_UP, too_long("The proof"), Cause.TIME_LIMIT)
        except Exception:
            self._end(Proof.State.GIVEN_UP, UNEXPECTED, Cause.UNEXPECTED)
            raise

    def _attempt(self, heartbeat: Heartbeat) -> None:
        snapshot = self.row.snapshot
        if snapshot.state != Snapshot.State.COMPLETED:
            raise EngineError(GONE, cause=Cause.REMOVED)
        name = f"Proof of {snapshot.local_date}"
        self._pass(self.build(heartbeat, manifest_key=snapshot.manifest, name=name))

    def _pass(self, built: Built) -> None:
        snapshot = self.row.snapshot
        seal = keep(self) if keeps_warm(snapshot.project_id) else None
        with transaction.atomic():
            self.store(
                is_kept=seal is not None,
                seal=seal.as_json() if seal else {},
                state=Proof.State.PASSED,
                step=Proof.Step.DONE,
                reason="",
                cause="",
                finished_at=timezone.now(),
                restore_seconds=built.restore_seconds,
                compare_seconds=built.compare_seconds,
                rows_done=built.manifest.rows,
                rows_total=built.manifest.rows,
                lease=None,
                lease_until=None,
            )
            release_kept(snapshot.project_id, but=self.row.pk)
            pass_snapshot(snapshot, restore_seconds=built.restore_seconds)
            record(
                action="proof.passed",
                actor=None,
                project=snapshot.project,
                subject=f"Backup of {snapshot.local_date}",
                details={
                    "snapshot": str(snapshot.pk),
                    "restore_seconds": round(built.restore_seconds, 3),
                    "compare_seconds": round(built.compare_seconds, 3),
                },
            )
        if seal is None:
            self._forget()

    def _end(self, state: Proof.State, reason: str, cause: Cause) -> None:
        try:
            with transaction.atomic():
                self.store(
                    state=state,
                    reason=reason,
                    cause=cause,
                    finished_at=timezone.now(),
                    lease=None,
                    lease_until=None,
                )
                if state == Proof.State.FAILED:
                    fail_snapshot(self.row.snapshot, reason=reason)
        except LeaseLostError:
            log.warning("proof %s ended after it was taken over: %s", self.row.pk, reason)
            self.drop()
            return
        log.log(
            logging.ERROR if state == Proof.State.FAILED else logging.WARNING,
            "proof %s of snapshot %s %s: %s",
            *(self.row.pk, self.row.snapshot_id, state, reason),
        )
        self._forget()

    def _forget(self) -> None:
        """Drop the scratch database; one that cannot be stays written down, for the tick."""
        if self.drop():
            Proof.objects.filter(pk=self.row.pk, prefix=self.prefix).update(prefix="", database="")

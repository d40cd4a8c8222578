"""One run of a proof: a scratch database, loaded, compared and dropped."""

import logging
import uuid
from dataclasses import asdict

from django.db import transaction

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.leased_job import GivenUpError, Ran
from backups_portal.lib.leases import LeaseQuerySet
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.database_dsn import server_url
from restores.build_steps import Step
from restores.checks.check_results import bad_in_words, tally_of
from restores.checks.check_run import Checked, ScratchDatabase, run_checks
from restores.database_build import EVIDENCE, BuildJob, Built
from restores.models import Check, Proof
from restores.warm_restores import keep, keeps_warm, release_kept
from snapshots.engine.run_progress import OnProgress
from snapshots.integrity.verdicts import fail_snapshot, pass_snapshot
from snapshots.models import Snapshot
from snapshots.schedule.task_limit import too_long

log = get_logger(__name__)

GONE = "The backup was removed before it was proven."
UNEXPECTED = "Something went wrong on our side. The operators' log has the details."


def run_proof(proof_id: uuid.UUID, on_progress: OnProgress | None = None) -> Ran:
    """Prove the snapshot of a queued proof; see `LeasedJob.run`.

    The scratch database is dropped however the proof ends, unless it passed and the project keeps
    one for a warm restore.

    Args:
        on_progress: Called with the progress, which the row stores as well.
    """
    return ProofJob(proof_id, on_progress).run()


class ProofJob(BuildJob[Proof]):
    """One attempt at a proof."""

    name = "proof"
    unexpected = UNEXPECTED

    def rows(self) -> LeaseQuerySet:
        return Proof.objects.select_related("snapshot__project__main_database", "server")

    def work(self) -> None:
        snapshot = self.row.snapshot
        if snapshot.state != Snapshot.State.COMPLETED:
            raise GivenUpError(GONE, cause=Cause.REMOVED)
        built = self.build(snapshot, name=f"Proof of {snapshot.local_date}")
        self._pass(built, self._check(built))

    def too_long(self) -> str:
        return too_long("The proof")

    def give_up(self, error: Exception, **fields: object) -> None:
        is_evidence = isinstance(error, EVIDENCE)
        state = Proof.State.FAILED if is_evidence else Proof.State.GIVEN_UP
        self.finish(state=state, **fields)
        if is_evidence:
            fail_snapshot(self.row.snapshot, reason=self.failure)
        log.log(
            logging.ERROR if is_evidence else logging.WARNING,
            "proof %s of snapshot %s %s: %s",
            *(self.pk, self.row.snapshot_id, state, fields["reason"]),
        )

    def _check(self, built: Built) -> Checked:
        """Run the owner's checks; the proof passes whatever they find."""
        place = ScratchDatabase(
            server_url(built.instance.server), self.prefix, built.manifest.taken_at
        )
        checks = list(Check.objects.filter(project=self.row.snapshot.project_id))
        return run_checks(checks, place, before_each=self.heartbeat.check)

    def _pass(self, built: Built, checked: Checked) -> None:
        snapshot = self.row.snapshot
        # A database that may still have the role of the checks must not become a project's.
        may_keep = checked.is_clean and keeps_warm(snapshot.project_id)
        seal = keep(self) if may_keep else None
        with transaction.atomic():
            self.finish(
                is_kept=seal is not None,
                seal=asdict(seal) if seal else {},
                state=Proof.State.PASSED,
                step=Step.DONE,
                reason="",
                cause="",
                restore_seconds=built.restore_seconds,
                compare_seconds=built.compare_seconds,
                rows_done=built.manifest.rows,
                rows_total=built.manifest.rows,
                check_results=[result.as_json() for result in checked.results],
            )
            release_kept(snapshot.project_id, but=self.pk)
            pass_snapshot(
                snapshot,
                built.manifest,
                restore_seconds=built.restore_seconds,
                checks=tally_of(checked.results),
            )
            snapshot.record(
                "proof.passed",
                restore_seconds=round(built.restore_seconds, 3),
                compare_seconds=round(built.compare_seconds, 3),
            )
            _settle_checks(snapshot, checked)
        if seal is None and (gone := self.clean_up()):
            Proof.objects.filter(pk=self.pk, prefix=self.prefix).update(**gone)


def _settle_checks(snapshot: Snapshot, checked: Checked) -> None:
    """Update device names, and record the checks that did not pass."""
    checks = Check.objects.filter(project=snapshot.project_id)
    for device_id, name in checked.names.items():
        checks.filter(device_id=device_id).exclude(device_name=name).update(device_name=name)
    tally = tally_of(checked.results)
    if tally.is_clean:
        return
    snapshot.record(
        "check.failed",
        checks=str(tally),
        failed=tally.failed,
        not_run=tally.not_run,
        reason=bad_in_words(checked.results),
    )
    log.warning("%s", tally, snapshot=snapshot.pk, project=snapshot.project_id)

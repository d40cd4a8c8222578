"""Prove a snapshot now, from a terminal."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from backups_portal.audit.operator_command import OperatorCommand, continued_by_workers
from backups_portal.ui.formats import count
from backups_portal.ui.terminal_progress import progress_bar
from restores.checks.check_results import CheckResult
from restores.models import Proof
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from snapshots.management.snapshot_arguments import stored_snapshot


class Command(OperatorCommand):
    """Proves a snapshot; passing clears the verdict of an earlier failure."""

    help = (
        "Restore a snapshot into a scratch database, compare every row, make the owner's checks, "
        "and drop it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("snapshot", type=uuid.UUID, metavar="ID", help="the snapshot's id")

    def handle(self, *args: object, **options: Any) -> None:
        snapshot = stored_snapshot(options["snapshot"])
        proof = queue_proof(snapshot.pk)
        if proof is None:
            raise CommandError(f"Snapshot {snapshot.pk} is already being proven.")
        with (
            continued_by_workers(f"The proof of snapshot {snapshot.pk}"),
            progress_bar(self.stderr, silent=options["json"]) as on_progress,
        ):
            run_proof(proof.pk, on_progress)
        self._report(Proof.objects.get(pk=proof.pk), as_json=options["json"])

    def _report(self, proof: Proof, *, as_json: bool) -> None:
        if as_json:
            self.write_json(_as_json(proof))
        if proof.state in Proof.UNFINISHED:
            raise CommandError(f"A worker is already proving snapshot {proof.snapshot_id}.")
        if proof.state != Proof.State.PASSED:
            raise CommandError(f"Snapshot {proof.snapshot_id} was not proven: {proof.reason}")
        if not as_json:
            self.stdout.write(
                f"snapshot {proof.snapshot_id} restores to what it recorded: "
                f"{count(proof.rows_total or 0, 'row')} loaded in {proof.restore_seconds:.1f} s, "
                f"compared in {proof.compare_seconds:.1f} s"
            )
            for found in map(CheckResult.from_json, proof.check_results):
                self.stdout.write(f"check {found.outcome.label.lower()}: {found}")


def _as_json(proof: Proof) -> dict[str, object]:
    return {
        "snapshot_id": str(proof.snapshot_id),
        "proof_id": str(proof.pk),
        "state": proof.state,
        "reason": proof.reason,
        "rows": proof.rows_total,
        "restore_seconds": proof.restore_seconds,
        "compare_seconds": proof.compare_seconds,
        "check_results": proof.check_results,
    }

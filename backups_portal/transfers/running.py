"""Doing what is queued of a transfer: its dry run, the move, or the undoing."""

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.utils import timezone

from backups_portal.audit.services import record
from backups_portal.lib.heartbeat import Heartbeat
from backups_portal.lib.leases import LeaseLostError
from backups_portal.projects.connections import keyring
from backups_portal.projects.models import Project
from backups_portal.transfers.batches import FATES, STORED, Outcome
from backups_portal.transfers.comparing import Line, compare
from backups_portal.transfers.connecting import in_words, open_source, open_target
from backups_portal.transfers.errors import StoppedError, TransferError
from backups_portal.transfers.models import LEDGER_KEPT, Transfer
from backups_portal.transfers.moving import move
from backups_portal.transfers.planning import Plan, make_plan
from backups_portal.transfers.undoing import Undone, undo

log = logging.getLogger(__name__)

# A worker that dies in the middle is replaced this many times before the work is given up.
MAX_ATTEMPTS = 5
UNEXPECTED = (
    "Something went wrong that we did not expect. What was moved until then stays, and can be "
    "continued or undone. If it fails again, tell the operator."
)
OnProgress = Callable[[int, int | None], None]


def run_transfer(transfer_id: uuid.UUID, on_progress: OnProgress | None = None) -> None:
    """Do what is queued of a transfer, unless another worker is at it already.

    Called again after it was killed, it goes on where it stopped.

    Args:
        on_progress: Told rows done and rows in all, beside the row.
    """
    ticket = Transfer.objects.all().claim(
        transfer_id,
        states=list(Transfer.UNFINISHED),
        to=Transfer.State.RUNNING,
        lease=settings.LEASE,
    )
    if ticket is None:
        log.info("transfer %s is done, or another worker's", transfer_id)
        return
    transfer = Transfer.objects.select_related("source", "target", "requested_by").get(
        pk=transfer_id
    )
    log.info("transfer %s %s attempt %s", transfer_id, transfer.work, transfer.attempts)
    _Run(transfer, ticket, on_progress).run()


class _Run:
    """One attempt."""

    def __init__(
        self, transfer: Transfer, ticket: uuid.UUID, on_progress: OnProgress | None
    ) -> None:
        self.row, self.ticket, self._watch = transfer, ticket, on_progress

    def run(self) -> None:
        works = {"plan": self._plan, "move": self._move, "undo": self._undo}
        rows = Transfer.objects.all()
        try:
            with Heartbeat(rows, self.row.pk, self.ticket, lease=settings.LEASE) as heartbeat:
                if self.row.attempts > MAX_ATTEMPTS:
                    raise TransferError(f"It was interrupted {MAX_ATTEMPTS} times.")
                with in_words():
                    works[self.row.work](heartbeat)
        except LeaseLostError:
            log.warning("transfer %s was taken over by another worker", self.row.pk)
        except StoppedError:
            self._stop()
        except TransferError as error:
            self._finish(Transfer.State.FAILED, reason=str(error))
        except Exception:
            self._finish(Transfer.State.FAILED, reason=UNEXPECTED)
            raise

    def _plan(self, heartbeat: Heartbeat) -> None:
        source, target = self._project("source"), self._project("target")
        with open_source(source) as left, open_target(target) as right:
            plan = make_plan(
                left,
                right,
                self.row.chosen(),
                limit=settings.MUTABLE_DEVICE_ROWS,
                now=timezone.now(),
                batch_rows=settings.TRANSFER_BATCH_ROWS,
            )
        self._check_wish()
        self._finish(Transfer.State.READY, plan=plan.as_json(), rows_total=plan.rows, rows_done=0)

    def _move(self, heartbeat: Heartbeat) -> None:
        source, target = self._project("source"), self._project("target")
        plan, transfer, began = self.row.planned(), str(self.row.pk), time.monotonic()
        self._store(
            started_at=self.row.started_at or timezone.now(),
            has_ledger=True,
            ledger_until=timezone.now() + LEDGER_KEPT,
        )

        has_begun = False

        def on_batch(outcome: Outcome) -> None:
            nonlocal has_begun
            done = sum(cell.rows for cell in outcome.chosen.values())
            if not has_begun:
                # Attempts before this one may have moved a part.
                self._store(moving_since=timezone.now(), rows_before=done)
                has_begun = True
            heartbeat.report(rows_done=done)
            if self._watch:
                self._watch(done, plan.rows)
            self._check_wish()

        with open_source(source) as left, open_target(target) as right:
            routes = move(
                left,
                right,
                plan,
                self.row.chosen(),
                transfer=transfer,
                keys=keyring(),
                limit=settings.MUTABLE_DEVICE_ROWS,
                now=timezone.now(),
                on_batch=on_batch,
            )
            lines = compare(right, plan, routes.target, transfer=transfer)
        report = make_report(plan, lines, seconds=time.monotonic() - began)
        self._finish(
            Transfer.State.COMPLETED,
            report=report,
            rows_done=report["summary"]["chosen"],
            ledger_until=timezone.now() + LEDGER_KEPT,
        )

    def _undo(self, heartbeat: Heartbeat) -> None:
        undone = Undone.from_json(self.row.report.get("undone"))

        def on_batch() -> None:
            heartbeat.report(report={**self.row.report, "undone": undone.as_json()})

        with open_target(self._project("target")) as target:
            undo(target, str(self.row.pk), undone, on_batch)
        self._finish(
            Transfer.State.UNDONE,
            report={**self.row.report, "undone": undone.as_json()},
            has_ledger=False,
        )

    def _project(self, side: str) -> Project:
        project: Project | None = getattr(self.row, side)
        name = getattr(self.row, f"{side}_name")
        if project is None:
            raise TransferError(f"{name} was deleted.")
        if project.state != Project.State.ACTIVE:
            raise TransferError(f"{name} is shut down.")
        return project

    def _check_wish(self) -> None:
        row = (
            Transfer.objects.filter(pk=self.row.pk)
            .values_list("wish", "target", "target__state", "source", "source__state")
            .first()
        )
        if row is None:
            raise LeaseLostError(str(self.row.pk))
        wish, target, target_state, source, source_state = row
        for project, state, name in (
            (target, target_state, self.row.target_name),
            (source, source_state, self.row.source_name),
        ):
            if project is None or state != Project.State.ACTIVE:
                raise TransferError(f"{name} was shut down or deleted.")
        if wish != Transfer.Wish.GO_ON:
            raise StoppedError(wish)

    def _stop(self) -> None:
        self.row.refresh_from_db(fields=["wish"])
        for_good = self.row.wish == Transfer.Wish.CANCEL
        self._finish(Transfer.State.CANCELLED if for_good else Transfer.State.PAUSED)

    def _store(self, **fields: Any) -> None:
        rows = Transfer.objects.filter(pk=self.row.pk, lease=self.ticket)
        if not rows.update(**fields):
            raise LeaseLostError(str(self.row.pk))

    def _finish(self, state: str, **fields: Any) -> None:
        try:
            self._store(
                state=state,
                wish=Transfer.Wish.GO_ON,
                finished_at=timezone.now(),
                lease=None,
                lease_until=None,
                **fields,
            )
        except LeaseLostError:
            log.warning("transfer %s ended after it was taken over", self.row.pk)
            return
        if self.row.work != Transfer.Work.PLAN:
            record(
                action=f"transfer.{state}",
                actor=self.row.requested_by,
                project=self.row.target,
                subject=f"{self.row.source_name} → {self.row.target_name}",
                details={"transfer": str(self.row.pk), "reason": fields.get("reason", "")},
            )


def make_report(plan: Plan, lines: list[Line], *, seconds: float) -> dict[str, Any]:
    """The report to keep: sums, a line for every device, and what was left out, and why."""
    fates = {fate: sum(line.fates[fate] for line in lines) for fate in FATES}
    return {
        "summary": {
            "chosen": sum(line.chosen for line in lines),
            **fates,
            "stored": sum(fates[fate] for fate in STORED),
            "found": sum(line.stored for line in lines),
            "devices": len(lines),
            "created": sum(line.how == "created" for line in lines),
            "is_equal": all(line.is_equal for line in lines),
            "seconds": round(seconds, 3),
        },
        "devices": [asdict(line) for line in lines],
        "skipped": [asdict(match) for match in plan.matches if match.target is None],
        "resources": [asdict(placement) for placement in plan.placements],
        "tokens": plan.tokens,
    }

"""Run the queued work of a transfer: its dry run, the move, or the undo."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from psycopg import Connection

from backups_portal.audit.recorder import acting_by_command
from backups_portal.lib.db_time import database_now
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.leased_job import LeasedJob, Ran, back_off
from backups_portal.lib.leases import LeaseLostError
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.access import Permission, RightLostError, hold_right
from backups_portal.projects.database_dsn import keyring, who_holds
from backups_portal.projects.models import Project
from backups_portal.transfers.errors import (
    SHUT_DOWN,
    LockedOutError,
    OccupiedError,
    StoppedError,
    TransferError,
    TransferRefusedError,
)
from backups_portal.transfers.models import LEDGER_KEPT, Transfer, TransferQuerySet
from backups_portal.transfers.move.batches import FATES, STORED
from backups_portal.transfers.move.database_pair import in_words, open_source, open_target
from backups_portal.transfers.move.device_settings import SettingsChanges
from backups_portal.transfers.move.ledger import read_placed
from backups_portal.transfers.move.move_run import MoveJob, move
from backups_portal.transfers.move.transfer_check import Line, compare, compare_settings
from backups_portal.transfers.move.transfer_undo import count_stored, is_taken_back, undo
from backups_portal.transfers.move.undo_progress import Step, Undone
from backups_portal.transfers.plan.dry_run import OnRows, Plan, Planning, chosen_rows, make_plan
from backups_portal.transfers.plan.selection import Choice
from backups_portal.transfers.plan.source_names import check_names, lacking_devices, listed
from backups_portal.transfers.transfer_events import record_transfer
from backups_portal.ui.formats import count
from snapshots.schedule.task_limit import too_long

log = get_logger(__name__)

# After this many attempts whose worker died, the work is given up.
MAX_ATTEMPTS = 5
# How often to check whether another transfer into the target has ended.
TURN = timedelta(minutes=1)
OCCUPIED = "Another transfer into {name} is under way. This one begins once that has ended."
STAYS = "What was moved until then stays. You can continue or undo it."
UNEXPECTED = f"Something unexpected went wrong. {STAYS} If it fails again, tell your operator."
AGAIN = "Make the dry run again."


def run_transfer(transfer_id: uuid.UUID, on_progress: OnRows | None = None) -> Ran:
    """Run the queued work of a transfer; see `LeasedJob.run`.

    If it was killed, the next call continues from there.

    Args:
        on_progress: Called with the rows done and in total, in addition to updating the row.
    """
    asked = Transfer.objects.filter(pk=transfer_id).values_list("operator", flat=True).first()
    with acting_by_command(asked or ""):
        return TransferJob(transfer_id, on_progress).run()


class TransferJob(LeasedJob[Transfer]):
    """An attempt at the queued work of a transfer."""

    name = "transfer"
    shown_errors = (TransferError, RightLostError)
    unexpected = UNEXPECTED
    max_attempts = MAX_ATTEMPTS
    interrupted = f"It was interrupted {MAX_ATTEMPTS} times."

    def __init__(self, pk: uuid.UUID, on_progress: OnRows | None) -> None:
        super().__init__(pk)
        self._watch = on_progress
        self._has_begun = False

    def facts(self) -> dict[str, object]:
        return {**super().facts(), "source": self.row.source_id, "target": self.row.target_id}

    def rows(self) -> TransferQuerySet:
        return Transfer.objects.select_related("source", "target", "requested_by")

    def is_known(self) -> bool:
        return super().is_known() and Choice.is_known(self.row.choice)

    def work(self) -> None:
        works = {"plan": self._plan, "move": self._move, "undo": self._undo}
        with self._right():
            # Check the right before anything is read; each commit checks it again.
            pass
        try:
            with in_words():
                works[self.row.work]()
        except StoppedError:
            self._stop()
        except OccupiedError as waiting:
            log.info("the transfer waits for another one into its target")
            self.postpone(database_now() + TURN, reason=str(waiting))

    def retry_at(self, error: Exception) -> datetime | None:
        if not isinstance(error, LockedOutError):
            return None
        return back_off(settings.RESTORE_RETRY_MINUTES, self.row.attempts - 1, database_now())

    def too_long(self) -> str:
        return f"{too_long('The transfer')} {STAYS}"

    def explain(self, error: Exception) -> JsonObject:
        fields = super().explain(error)
        if isinstance(error, LockedOutError):
            fields["reason"] = f"{error} {self._holder()}".strip()
        return fields

    def give_up(self, error: Exception, **fields: object) -> None:
        self._end(Transfer.State.FAILED, **fields)

    def postpone(self, then: datetime, **fields: object) -> None:
        super().postpone(then, reason=fields["reason"])

    def _holder(self) -> str:
        """Describe the session that holds a lock in a project; "" if unknown."""
        projects = [self.row.target, self.row.source]
        held = [who_holds(project, of_rows=True) for project in projects if project]
        return next((sentence for sentence in held if "held by" in sentence), "")

    @contextmanager
    def _right(self) -> Iterator[None]:
        """Hold the lease, and the actor's ownership of projects that still exist."""
        projects = [self.row.source, self.row.target]
        there = [one for one in projects if one and one.state != Project.State.REMOVED]
        with transaction.atomic():
            hold_right(self.row.requested_by, Permission.MANAGE_BACKUPS, *there)
            self.renew()
            yield

    def _plan(self) -> None:
        source, target = self._project("source"), self._project("target")
        choice = self.row.chosen()
        with open_source(source) as left, open_target(target) as right:
            try:
                check_names(left, choice, source.name)
            except TransferRefusedError as error:
                raise TransferError(error.message, cause=Cause.REMOVED) from error
            plan = make_plan(
                left,
                right,
                choice,
                Planning(
                    limit=settings.MUTABLE_DEVICE_ROWS,
                    now=timezone.now(),
                    batch_rows=settings.TRANSFER_BATCH_ROWS,
                    on_rows=self._note_rows,
                ),
            )
        self._check_wish()
        with self._right():
            self._end(Transfer.State.READY, plan=plan.as_json(), rows_total=plan.rows, rows_done=0)

    def _take_turn(self, target: Project) -> None:
        """Make sure that no other transfer writes into the target meanwhile.

        Two that look up the same records at the same time would both store them.

        Raises:
            OccupiedError: another one does; the attempt does not count.
        """
        with transaction.atomic():
            Project.objects.select_for_update(no_key=True).get(pk=target.pk)
            others = Transfer.objects.filter(
                target=target,
                state=Transfer.State.RUNNING,
                work__in=(Transfer.Work.MOVE, Transfer.Work.UNDO),
                moving_since__isnull=False,
            ).exclude(pk=self.pk)
            # A worker whose lease has expired may only be frozen: without it, it commits nothing.
            lost = others.filter(lease_until__lt=database_now())
            lost.update(state=Transfer.State.QUEUED, lease=None)
            is_free = not others.exists()
            if is_free:
                # Its pace is measured from here, without the rows of earlier attempts.
                self.store(moving_since=timezone.now(), rows_before=F("rows_done"), reason="")
            else:
                self.store(moving_since=None, attempts=self.row.attempts - 1)
        if not is_free:
            raise OccupiedError(OCCUPIED.format(name=target.name))

    def _move(self) -> None:
        source, target = self._project("source"), self._project("target")
        # It may have been cancelled just before its previous attempt went back to the queue.
        self._check_wish()
        self._take_turn(target)
        plan, transfer, began = Plan.from_json(self.row.plan), str(self.pk), time.monotonic()
        self._check_devices(source, plan)
        self.store(
            started_at=self.row.started_at or timezone.now(),
            rows_total=plan.rows,
            has_ledger=True,
            ledger_until=timezone.now() + LEDGER_KEPT,
        )

        with open_source(source) as left, open_target(target) as right:
            routes = move(
                left,
                right,
                MoveJob(
                    transfer,
                    plan,
                    self.row.chosen(),
                    keys=keyring(),
                    limit=settings.MUTABLE_DEVICE_ROWS,
                    now=timezone.now(),
                ),
                on_batch=lambda outcome: self._note_rows(chosen_rows(outcome), plan.rows),
                guard=self._right,
            )
            if plan.settings is not None:
                done = compare_settings(left, right, plan, transfer=transfer)
                plan = replace(plan, settings=done)
            plan = plan.as_done(read_placed(right, transfer))
            lines = compare(right, plan, routes.target, transfer=transfer)
        report = make_report(plan, lines, seconds=time.monotonic() - began)
        self._end(
            Transfer.State.COMPLETED,
            plan=plan.as_json(),
            report=report,
            rows_done=report["summary"]["chosen"],
            ledger_until=timezone.now() + LEDGER_KEPT,
        )

    def _note_rows(self, done: int, total: int) -> None:
        if not self._has_begun:
            # Earlier attempts may have moved some rows.
            self.store(moving_since=timezone.now(), rows_before=done, rows_total=total)
            self._has_begun = True
        self.heartbeat.report(rows_done=done)
        if self._watch:
            self._watch(done, total)
        self._check_wish()

    def _check_devices(self, source: Project, plan: Plan) -> None:
        """Refuse a plan if the source no longer has all of its devices."""
        devices = {match.source: match.name for match in plan.moved}
        with open_source(source) as left:
            lacking = [f"{devices[key]} ({key})" for key in lacking_devices(left, devices)]
        if lacking:
            then = "Move the rest by another transfer." if self.row.has_begun else AGAIN
            raise TransferError(
                f"{source.name} no longer has what the dry run found: {listed(lacking)}. {then}",
                cause=Cause.REMOVED,
            )

    def _undo(self) -> None:
        @contextmanager
        def noted(step: Step) -> Iterator[None]:
            # After a kill, the target has no trace of what was undone. So the counts that are true
            # once it has committed are stored first, and its ledger tells whether it committed.
            self.store(undone={**before, "step": step, "then": undone.as_json()})
            with self._right():
                before.update(undone.as_json())
                self.store(undone=before)
                yield

        def on_batch() -> None:
            self.heartbeat.report(
                report={**self.row.report, "undone": undone.as_json()},
                rows_done=undone.removed + undone.left,
            )
            if self._watch:
                self._watch(undone.removed + undone.left, total)
            self._check_wish()

        # As before a move.
        self._check_wish()
        self._take_turn(self._project("target"))
        with open_target(self._project("target")) as target:
            undone = self._undone_before(target)
            before, rows = undone.as_json(), undone.removed + undone.left
            total = self.row.rows_total or rows + count_stored(target, str(self.pk))
            self.store(rows_total=total, rows_before=rows, moving_since=timezone.now())
            undo(target, str(self.pk), undone, on_batch, noted)
        self._end(
            Transfer.State.UNDONE,
            report={**self.row.report, "undone": undone.as_json()},
            has_ledger=False,
        )

    def _undone_before(self, target: Connection) -> Undone:
        """Return what earlier attempts have undone."""
        saved = dict(self.row.undone or self.row.report.get("undone") or {})
        step, then = saved.pop("step", None), saved.pop("then", None)
        is_later = step and is_taken_back(target, str(self.pk), tuple(step))
        return Undone.from_json(then if is_later else saved)

    def _project(self, side: str) -> Project:
        """Return the current source or target; raise if it is not running."""
        pk, name = getattr(self.row, f"{side}_id"), getattr(self.row, f"{side}_name")
        project = Project.objects.select_related("server").filter(pk=pk).first()
        if project is None or project.state == Project.State.REMOVED:
            raise TransferError(f"{name} was removed.", cause=Cause.REMOVED)
        if project.state != Project.State.ACTIVE:
            raise TransferError(SHUT_DOWN.format(name=name), cause=Cause.SHUT_DOWN)
        return project

    def _check_wish(self) -> None:
        wish = Transfer.objects.filter(pk=self.pk).values_list("wish", flat=True).first()
        if wish is None:
            raise LeaseLostError(str(self.pk))
        # An undo needs no source.
        sides = ("target",) if self.row.is_undoing else ("source", "target")
        for side in sides:
            self._project(side)
        if wish != Transfer.Wish.GO_ON:
            raise StoppedError(wish)

    def _stop(self) -> None:
        self.row.refresh_from_db(fields=["wish"])
        for_good = self.row.wish == Transfer.Wish.CANCEL
        state = Transfer.State.CANCELLED if for_good else Transfer.State.PAUSED
        # The audit log has it already, with the owner who asked for it.
        self.finish(state=state, wish=Transfer.Wish.GO_ON, reason="")

    def _end(self, state: str, **fields: object) -> None:
        with transaction.atomic():
            self.finish(state=state, wish=Transfer.Wish.GO_ON, **{"reason": "", **fields})
            if self.row.work != Transfer.Work.PLAN:
                record_transfer(
                    f"transfer.{state}",
                    self.row,
                    self.row.requested_by,
                    reason=str(fields.get("reason", "")),
                    **_counted_settings(fields.get("report")),
                )


def _counted_settings(report: object) -> dict[str, str]:
    """Count the devices whose tags and parameters were brought or put back."""
    ended: JsonObject = report if isinstance(report, dict) else {}
    part = ended.get("undone") or ended.get("summary") or {}
    devices = part.get("device_settings")
    return {"tags_and_parameters": count(devices, "device")} if devices else {}


def make_report(plan: Plan, lines: list[Line], *, seconds: float) -> JsonObject:
    """Make the report: sums, devices, what was left out, and why."""
    done = plan.settings or SettingsChanges()
    fates = {fate: sum(line.fates[fate] for line in lines) for fate in FATES}
    return {
        "summary": {
            "chosen": sum(line.chosen for line in lines),
            **fates,
            "stored": sum(fates[fate] for fate in STORED),
            "found": sum(line.stored for line in lines),
            "devices": len(lines),
            "created": sum(line.how == "created" for line in lines),
            "device_settings": done.devices,
            "device_settings_different": done.different,
            "is_equal": all(line.is_equal for line in lines) and not done.different,
            "seconds": round(seconds, 3),
        },
        "devices": [asdict(line) for line in lines],
        "skipped": [asdict(match) for match in plan.matches if match.target is None],
        "resources": [asdict(placement) for placement in plan.placements],
        "device_settings": plan.settings and asdict(plan.settings),
        "tokens": plan.tokens,
    }

"""The lines of the Backups page, read in a constant number of queries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from backups_portal.projects.redaction import ANOTHER
from backups_portal.ui.eta import Pace, pace
from restores.snapshot_uses import with_uses
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.retention.expiry import as_kept
from snapshots.retention.retention_rules import HELD, IN_USE, NEWEST, OLD, YOUNG, decide
from snapshots.storages.configured_storages import has_copies

# Columns that a line shows: of the snapshot and its hold, and of its copy.
SHOWN = (
    *("state", "reason", "failures", "retry_at", "local_date", "scheduled_for", "started_at"),
    *("taken_at", "rows", "is_full", "stored_bytes", "new_bytes", "rows_done", "rows_total"),
    *("bytes_done", "size_note", "verdict", "verdict_reason", "restore_seconds", "read_until"),
    *("checks_made", "checks_failed", "checks_not_run", "schema_version"),
    "hold__id",
)
SHOWN_OF_COPIES = ("copy__state", "copy__reason")
KEPT_BECAUSE = {
    HELD: "Until you release it",
    IN_USE: "While it is being restored, proven or downloaded",
    NEWEST: "Until a newer one is stored",
    OLD: "Being removed",
}


@dataclass(frozen=True)
class RunningRestore:
    """A restore under way."""

    id: UUID
    name: str


@dataclass(frozen=True)
class Row:
    """A line of the list.

    Attributes:
        kept_until: When retention may remove it; None if `kept_because` says why it stays, or if
            there is nothing to keep.
        restore: Its unfinished restore, if any.
        is_being_proven: Whether a proof of it is queued or running.
        is_held: Whether it is on hold, and kept whatever its age.
        pace: Its speed and remaining time while it is being taken, if known.
        copy: Its copy, if there is a second storage.
    """

    snapshot: Snapshot
    kept_until: datetime | None
    kept_because: str
    restore: RunningRestore | None
    is_being_proven: bool
    is_held: bool
    pace: Pace
    copy: SnapshotCopy | None = None

    @property
    def new_share(self) -> float | None:
        """Return the share of its size that is new; None if all or unknown."""
        snapshot = self.snapshot
        if snapshot.is_full or not snapshot.stored_bytes or snapshot.new_bytes is None:
            return None
        return snapshot.new_bytes / snapshot.stored_bytes

    @property
    def changes(self) -> bool:
        """Tell whether the line is about to change."""
        is_unfinished = self.snapshot.state in Snapshot.UNFINISHED and self.waits_until is None
        return is_unfinished or self.restore is not None or self.is_being_proven

    @property
    def waits_until(self) -> datetime | None:
        """Return when a failed backup is retried; None if no retry is waiting."""
        is_waiting = self.snapshot.state == Snapshot.State.QUEUED and self.snapshot.failures
        return self.snapshot.retry_at if is_waiting else None


def listed(project: Project) -> QuerySet[Snapshot]:
    """Select what the Backups page lists, with the columns it shows."""
    snapshots = with_uses(Snapshot.objects.filter(project=project).listed())
    if has_copies():
        return snapshots.select_related("hold", "copy").only(*SHOWN, *SHOWN_OF_COPIES)
    return snapshots.select_related("hold").only(*SHOWN)


def describe(
    snapshots: Sequence[Snapshot],
    *,
    newest: Snapshot | None,
    project: Project,
    now: datetime,
    reader: Account | None = None,
) -> list[Row]:
    """Describe a project's snapshots, loaded `with_uses`, as lines.

    Args:
        newest: The project's newest stored snapshot, which retention never removes.
        reader: The account that reads the list, which sees the names of its own restores only.
    """
    days = project.main_database.retention_days
    uses = {snapshot.pk: _uses_of(snapshot, reader) for snapshot in snapshots}
    in_use = {one.pk for one in snapshots if any(uses[one.pk]) or one.is_being_read(now)}
    reasons = _reasons(snapshots, newest, in_use, timedelta(days=days), now)
    return [
        Row(
            snapshot,
            kept_until=snapshot.kept_until(days) if reasons.get(snapshot.pk) == YOUNG else None,
            kept_because=KEPT_BECAUSE.get(reasons.get(snapshot.pk, ""), ""),
            restore=uses[snapshot.pk][0],
            is_being_proven=uses[snapshot.pk][1],
            is_held=snapshot.is_held,
            pace=_pace(snapshot, now),
            copy=_copy_of(snapshot),
        )
        for snapshot in snapshots
    ]


def _copy_of(snapshot: Snapshot) -> SnapshotCopy | None:
    is_shown = has_copies() and snapshot.state == Snapshot.State.COMPLETED
    return getattr(snapshot, "copy", None) if is_shown else None


def _pace(snapshot: Snapshot, now: datetime) -> Pace:
    if snapshot.state != Snapshot.State.RUNNING or snapshot.started_at is None:
        return Pace()
    return pace(snapshot.rows_done, snapshot.rows_total, now - snapshot.started_at)


def _uses_of(snapshot: Any, reader: Account | None) -> tuple[RunningRestore | None, bool]:
    """Return its unfinished restore, and whether it is being proven."""
    found = snapshot.restore_under_way
    if not found:
        return None, snapshot.is_being_proven
    is_theirs = reader is not None and found["asked_by"] == reader.pk
    name = found["name"] if is_theirs else ANOTHER
    return RunningRestore(UUID(found["id"]), name), snapshot.is_being_proven


def _reasons(
    snapshots: Sequence[Snapshot],
    newest: Snapshot | None,
    in_use: Collection[UUID],
    period: timedelta,
    now: datetime,
) -> dict[UUID, str]:
    """Return why each stored snapshot is kept or removed."""
    stored = {
        snapshot.pk: snapshot
        for snapshot in [*snapshots, *([newest] if newest else [])]
        if snapshot.state == Snapshot.State.COMPLETED
    }
    kept = [as_kept(snapshot, is_in_use=pk in in_use) for pk, snapshot in stored.items()]
    reasons = {verdict.id: verdict.reason for verdict in decide(kept, period, now)}
    # Name a hold first: somebody asked for it, and it outlives the period.
    return {**reasons, **{item.id: HELD for item in kept if item.held}}

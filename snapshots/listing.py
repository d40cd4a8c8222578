"""What the Backups page says of each snapshot, read in as many queries for one as for many."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from backups_portal.lib.compiled import CompiledRows, compiled
from backups_portal.projects.models import Project
from backups_portal.ui.estimate import Pace, pace
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.retention import HELD, IN_USE, NEWEST, OLD, YOUNG, Kept, decide
from snapshots.storages import has_copies

MOST_GROWTH = 366
# What a line of the list shows, of a snapshot and its hold, and of its copy.
SHOWN = (
    *("state", "reason", "failures", "retry_at", "local_date", "scheduled_for", "started_at"),
    *("taken_at", "rows", "is_full", "stored_bytes", "new_bytes", "rows_done", "rows_total"),
    *("bytes_done", "size_note", "verdict", "verdict_reason", "restore_seconds"),
    "hold__id",
)
SHOWN_OF_COPIES = ("copy__state", "copy__reason")
KEPT_BECAUSE = {
    HELD: "Until you release it",
    IN_USE: "While it is being restored or proven",
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
        kept_until: When retention may remove it; None where `kept_because` says it better, and
            where there is nothing to keep.
        restore: A restore of it that is under way.
        is_being_proven: A proof of it is queued or under way.
        is_held: Somebody wishes to keep it whatever its age.
        pace: How fast taking it goes and how long it will still last, where that can be told.
        copy: Its copy, where there is a second storage.
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
        """Which part of its size was new that day; None where all of it was, or is not known."""
        snapshot = self.snapshot
        if snapshot.is_full or not snapshot.stored_bytes or snapshot.new_bytes is None:
            return None
        return snapshot.new_bytes / snapshot.stored_bytes

    @property
    def changes(self) -> bool:
        """Whether the line will soon read differently."""
        is_unfinished = self.snapshot.state in Snapshot.UNFINISHED and self.waits_until is None
        return is_unfinished or self.restore is not None or self.is_being_proven

    @property
    def waits_until(self) -> datetime | None:
        """When one that failed is tried again; None where it does not wait for that."""
        is_waiting = self.snapshot.state == Snapshot.State.QUEUED
        return self.snapshot.retry_at if is_waiting else None


def listed(project: Project) -> CompiledRows[Snapshot]:
    """What the Backups page lists, each with its hold and its copy, as far as a line shows it."""
    return _with_copies(project.pk) if has_copies() else _listed(project.pk)


@compiled
def _listed(project_id: UUID) -> QuerySet[Snapshot]:
    snapshots = Snapshot.objects.filter(project_id=project_id).listed().with_uses()
    return snapshots.select_related("hold").only(*SHOWN)


@compiled
def _with_copies(project_id: UUID) -> QuerySet[Snapshot]:
    snapshots = Snapshot.objects.filter(project_id=project_id).listed().with_uses()
    return snapshots.select_related("hold", "copy").only(*SHOWN, *SHOWN_OF_COPIES)


def newest_stored(project: Project) -> Snapshot | None:
    """The newest snapshot that can be restored: when it is of, and whether it is held."""
    return _good(project.pk).first()


@compiled
def _good(project_id: UUID) -> QuerySet[Snapshot]:
    stored = Snapshot.objects.good().filter(project_id=project_id).select_related("hold")
    read = stored.only("project", "state", "verdict", "local_date", "taken_at", "hold__id")
    return read.order_by("-taken_at", "-id")


class Measured(NamedTuple):
    """What a backup found in a main database; the bytes are those of its rows."""

    taken_at: datetime
    logical_bytes: int
    rows: int | None


class Growth(NamedTuple):
    """What the rows of a main database came to, as its backups found it; oldest first."""

    sizes: list[tuple[datetime, int]]
    rows: list[tuple[datetime, int]]
    newest: Measured | None


def growth_of(project: Project) -> Growth:
    """The bytes and the number of rows in the newest stored snapshots, a year of them at most."""
    newest_first = _measured(project.pk)[:MOST_GROWTH]
    found = newest_first[::-1]
    return Growth(
        sizes=[(at, size) for at, size, _ in found],
        rows=[(at, rows) for at, _, rows in found if rows is not None],
        newest=Measured(*found[-1]) if found else None,
    )


@compiled
def _measured(project_id: UUID) -> QuerySet[Snapshot, Any]:
    stored = Snapshot.objects.good().filter(project_id=project_id, logical_bytes__isnull=False)
    return stored.order_by("-taken_at").values_list("taken_at", "logical_bytes", "rows")


def describe(
    snapshots: Sequence[Snapshot], *, newest: Snapshot | None, project: Project, now: datetime
) -> list[Row]:
    """The lines for some snapshots of a project, loaded `with_uses`, their holds and copies.

    Args:
        newest: The project's newest stored snapshot, which retention never removes.
    """
    days = project.main_database.retention_days
    uses = {snapshot.pk: _uses_of(snapshot) for snapshot in snapshots}
    in_use = {pk for pk, found in uses.items() if any(found)}
    reasons = _reasons(snapshots, newest, in_use, timedelta(days=days), now)
    return [
        Row(
            snapshot,
            kept_until=snapshot.kept_until(days) if reasons.get(snapshot.pk) == YOUNG else None,
            kept_because=KEPT_BECAUSE.get(reasons.get(snapshot.pk, ""), ""),
            restore=uses[snapshot.pk][0],
            is_being_proven=uses[snapshot.pk][1],
            is_held=is_held(snapshot),
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


def _uses_of(snapshot: Any) -> tuple[RunningRestore | None, bool]:
    """The restore of it that is under way, and whether it is being proven."""
    found = snapshot.restore_under_way
    restore = RunningRestore(UUID(found["id"]), found["name"]) if found else None
    return restore, snapshot.is_being_proven


def _reasons(
    snapshots: Sequence[Snapshot],
    newest: Snapshot | None,
    in_use: Collection[UUID],
    period: timedelta,
    now: datetime,
) -> dict[UUID, str]:
    """Why each stored snapshot stays, or that it goes."""
    stored = {
        snapshot.pk: snapshot
        for snapshot in [*snapshots, *([newest] if newest else [])]
        if snapshot.state == Snapshot.State.COMPLETED
    }
    kept = [
        Kept(
            snapshot.pk,
            snapshot.taken_at,
            good=snapshot.is_good,
            held=is_held(snapshot),
            in_use=pk in in_use,
        )
        for pk, snapshot in stored.items()
        if snapshot.taken_at
    ]
    reasons = {verdict.id: verdict.reason for verdict in decide(kept, period, now)}
    # A hold outlives the period: it is what somebody asked for, and named first.
    return {**reasons, **{item.id: HELD for item in kept if item.held}}


def is_held(snapshot: Snapshot) -> bool:
    """Whether somebody wishes to keep it whatever its age."""
    return hasattr(snapshot, "hold")

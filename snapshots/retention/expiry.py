"""Expire snapshots: decided under a lock, removed after the commit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q, Value
from django.db.models.functions import Coalesce

from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import MainDatabase, Project
from snapshots.engine.errors import StorageError
from snapshots.models import Snapshot
from snapshots.retention.in_use import snapshots_in_use
from snapshots.retention.retention_rules import YOUNG, Kept, decide
from snapshots.storages.storage_marker import right_storage

log = get_logger(__name__)

BATCH = 500
EXPIRABLE = (Snapshot.State.COMPLETED, Snapshot.State.FAILED)
JUDGED = ("local_date", "state", "taken_at", "scheduled_for", "read_until", "verdict")


@dataclass(frozen=True)
class Pruned:
    """A snapshot past its retention period: removed or not, and why."""

    snapshot_id: UUID
    project_id: UUID
    project: str
    local_date: date
    goes: bool
    reason: str


def prune_each(now: datetime, *, dry_run: bool = False) -> Iterator[Pruned]:
    """Apply retention as it is iterated, project by project, in little memory.

    Args:
        dry_run: Only report what would be removed.
    """
    for ids in project_batches():
        for project_id in worth_pruning(ids, now):
            yield from prune_project(project_id, now, dry_run=dry_run)


def worth_pruning(ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Select projects with snapshots past their period or half removed."""
    if not ids:
        return []
    until = Coalesce("taken_at", "scheduled_for") + ExpressionWrapper(
        F("project__main_database__retention_days") * Value(timedelta(days=1)),
        output_field=DurationField(),
    )
    # The ids are consecutive: for a range, the planner knows how few rows it has; for some hundred
    # ids it expects one or even hundreds of snapshots each, and reads the whole table instead.
    nearby = Snapshot.objects.filter(project__gte=min(ids), project__lte=max(ids))
    rows = nearby.filter(project__in=ids).annotate(
        until=ExpressionWrapper(until, output_field=DateTimeField())
    )
    found = set(
        rows.filter(
            Q(state=Snapshot.State.EXPIRED, removed_at=None)
            | Q(state__in=EXPIRABLE, until__lte=now)
        ).values_list("project", flat=True)
    )
    return [pk for pk in ids if pk in found]


def each_project_id() -> Iterator[UUID]:
    """Yield the id of every project that is not removed, in bounded memory."""
    return chain.from_iterable(project_batches())


def project_batches() -> Iterator[list[UUID]]:
    """Yield the ids of all projects that are not removed, in batches."""
    last: UUID | None = None
    while ids := project_ids(after=last):
        yield ids
        last = ids[-1]


def project_ids(*, after: UUID | None, limit: int = BATCH) -> list[UUID]:
    """List the next projects that are not removed, by id."""
    rows = Project.objects.filter(removed_at=None).order_by("id")
    if after is not None:
        rows = rows.filter(id__gt=after)
    return list(rows.values_list("id", flat=True)[:limit])


def prune_project(project_id: UUID, now: datetime, *, dry_run: bool = False) -> list[Pruned]:
    """Apply one project's retention; safe to repeat and to race."""
    pruned = _judge(project_id, now)
    if dry_run:
        return pruned
    if any(item.goes for item in pruned):
        pruned = _expire(project_id, now)
    _remove_objects(project_id, now)
    return pruned


def preview_retention(project_id: UUID, retention_days: int, now: datetime) -> list[Pruned]:
    """List what another period would remove, and what would stay.

    A snapshot that is only being read counts as removed, because reading ends.
    """
    return _judge(project_id, now, retention_days=retention_days)


@transaction.atomic
def _expire(project_id: UUID, now: datetime) -> list[Pruned]:
    # The settings are locked first, as a change of the period does. FOR UPDATE on the snapshots
    # waits for a restore that is being requested (its foreign key locks the row), and the next
    # statement then sees it.
    if not MainDatabase.objects.select_for_update().filter(pk=project_id).exists():
        return []
    rows = Snapshot.objects.filter(project=project_id, state__in=EXPIRABLE)
    list(rows.order_by("id").select_for_update().values_list("id"))
    pruned = _judge(project_id, now)
    going = [item for item in pruned if item.goes]
    rows.filter(id__in=[item.snapshot_id for item in going]).update(state=Snapshot.State.EXPIRED)
    project = Project.objects.get(pk=project_id)
    for item in going:
        record(
            action="snapshot.expired",
            actor=None,
            project=project,
            subject=f"Backup of {item.local_date}",
            details={"snapshot": str(item.snapshot_id), "reason": item.reason},
        )
    return pruned


def _judge(project_id: UUID, now: datetime, *, retention_days: int | None = None) -> list[Pruned]:
    """Judge all snapshots past the period, or past `retention_days` if given."""
    database = MainDatabase.objects.select_related("project").filter(pk=project_id).first()
    if database is None:
        return []
    rows = list(
        Snapshot.objects.filter(project=project_id, state__in=EXPIRABLE)
        .select_related("hold")
        .order_by("scheduled_for")
        .only(*JUDGED, "hold__id")
    )
    in_use = set() if retention_days else _in_use(project_id, rows, now)
    kept = [as_kept(row, is_in_use=row.pk in in_use) for row in rows]
    period = timedelta(days=retention_days or database.retention_days)
    name = database.project.name
    return [
        Pruned(row.pk, project_id, name, row.local_date, verdict.goes, verdict.reason)
        for row, verdict in zip(rows, decide(kept, period, now), strict=True)
        if verdict.reason != YOUNG
    ]


def _in_use(project_id: UUID, rows: Sequence[Snapshot], now: datetime) -> set[UUID]:
    return snapshots_in_use(project_id) | {row.pk for row in rows if row.is_being_read(now)}


def as_kept(row: Snapshot, *, is_in_use: bool) -> Kept:
    """Return what retention has to know about a snapshot."""
    return Kept(
        id=row.pk,
        taken_at=row.taken_at or row.scheduled_for,
        good=row.is_good,
        held=row.is_held,
        in_use=is_in_use,
    )


def _remove_objects(project_id: UUID, now: datetime) -> None:
    """Delete manifests of expired snapshots; failures are retried later."""
    rows = Snapshot.objects.half_removed().filter(project=project_id)
    for row in rows.order_by("scheduled_for"):
        try:
            if row.manifest:
                # The manifest goes before any of its segments.
                right_storage().delete(row.manifest)
        except StorageError:
            log.exception("could not remove", snapshot=row.id, project=project_id)
            continue
        Snapshot.objects.filter(pk=row.pk).update(removed_at=now)
        log.info("snapshot removed", snapshot=row.id, project=project_id)

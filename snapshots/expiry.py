"""Letting snapshots go: decided under a lock, removed from storage after the commit."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q, Value
from django.db.models.functions import Coalesce

from backups_portal.audit.services import record
from backups_portal.projects.models import MainDatabase, Project
from snapshots.engine.errors import StorageError
from snapshots.engine.sweeping import delete_manifest
from snapshots.models import Snapshot
from snapshots.retention import YOUNG, Kept, decide
from snapshots.storages import snapshot_storage

log = logging.getLogger(__name__)

BATCH = 500
EXPIRABLE = (Snapshot.State.COMPLETED, Snapshot.State.FAILED)
# States of restores and proofs, which this app may not know; they are reached by their names.
UNFINISHED_USES = ("queued", "running")


@dataclass(frozen=True)
class Pruned:
    """A snapshot past its period: whether it goes, and why it does or does not."""

    snapshot_id: UUID
    project_id: UUID
    project: str
    local_date: date
    goes: bool
    reason: str


def prune(now: datetime) -> list[Pruned]:
    """Apply every project's retention; returns what went, and what stayed although it is old."""
    return list(prune_each(now))


def prune_each(now: datetime, *, dry_run: bool = False) -> Iterator[Pruned]:
    """The same one by one, in bounded memory; nothing happens that is not asked for by iterating.

    Args:
        dry_run: Only tell what would happen.
    """
    last: UUID | None = None
    while ids := project_ids(after=last):
        for project_id in worth_pruning(ids, now):
            yield from prune_project(project_id, now, dry_run=dry_run)
        last = ids[-1]


def worth_pruning(ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Those of the projects that have something older than their period, or half removed."""
    if not ids:
        return []
    until = Coalesce("taken_at", "scheduled_for") + ExpressionWrapper(
        F("project__main_database__retention_days") * Value(timedelta(days=1)),
        output_field=DurationField(),
    )
    # They follow one another: of a range the planner knows how little it is, where of some hundred
    # ids it thinks that they have a snapshot each, or hundreds, and reads the whole table instead.
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
    """Every project of which anything is left, without holding all in memory or a cursor open."""
    last: UUID | None = None
    while ids := project_ids(after=last):
        yield from ids
        last = ids[-1]


def project_ids(*, after: UUID | None, limit: int = BATCH) -> list[UUID]:
    """The next projects of which anything is left, in the order of their ids."""
    rows = Project.objects.filter(removed_at=None).order_by("id")
    if after is not None:
        rows = rows.filter(id__gt=after)
    return list(rows.values_list("id", flat=True)[:limit])


def prune_project(project_id: UUID, now: datetime, *, dry_run: bool = False) -> list[Pruned]:
    """Apply one project's retention; safe to repeat, and to race with itself and with restores."""
    pruned = _judge(project_id, now)
    if dry_run:
        return pruned
    if any(item.goes for item in pruned):
        pruned = _expire(project_id, now)
    _remove_objects(project_id, now)
    return pruned


def preview_retention(project_id: UUID, retention_days: int, now: datetime) -> list[Pruned]:
    """What another period would remove, and what would stay although it is older."""
    return _judge(project_id, now, retention_days=retention_days)


@transaction.atomic
def _expire(project_id: UUID, now: datetime) -> list[Pruned]:
    # The settings first, which a change of the period locks too. FOR UPDATE on the snapshots
    # waits for a restore that is being requested (its foreign key locks the row), and the next
    # statement sees it.
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
    """Verdicts on everything older than the period."""
    database = MainDatabase.objects.select_related("project").filter(pk=project_id).first()
    if database is None:
        return []
    rows = list(
        Snapshot.objects.filter(project=project_id, state__in=EXPIRABLE)
        .order_by("scheduled_for")
        .values_list("id", "local_date", "state", "taken_at", "scheduled_for", "hold", "verdict")
    )
    in_use = _in_use(project_id)
    kept = [
        Kept(
            id=snapshot_id,
            taken_at=taken_at or scheduled_for,
            good=state == Snapshot.State.COMPLETED and verdict != Snapshot.Verdict.FAILED,
            held=hold is not None,
            in_use=snapshot_id in in_use,
        )
        for snapshot_id, _, state, taken_at, scheduled_for, hold, verdict in rows
    ]
    period = timedelta(days=retention_days or database.retention_days)
    return [
        Pruned(verdict.id, project_id, database.project.name, row[1], verdict.goes, verdict.reason)
        for row, verdict in zip(rows, decide(kept, period, now), strict=True)
        if verdict.reason != YOUNG
    ]


def _in_use(project_id: UUID) -> set[UUID]:
    ids = Snapshot.objects.filter(project=project_id).values_list("id", flat=True)
    restored = ids.filter(restores__state__in=UNFINISHED_USES)
    return set(restored.union(ids.filter(proofs__state__in=UNFINISHED_USES)))


def _remove_objects(project_id: UUID, now: datetime) -> None:
    """Delete the manifests of expired snapshots; one that cannot be is tried again next time."""
    rows = Snapshot.objects.filter(
        project=project_id, state=Snapshot.State.EXPIRED, removed_at=None
    )
    for row in rows.order_by("scheduled_for"):
        try:
            if row.manifest:
                delete_manifest(snapshot_storage(), row.manifest)
        except StorageError:
            log.exception("could not remove snapshot=%s project=%s", row.id, project_id)
            continue
        Snapshot.objects.filter(pk=row.pk).update(removed_at=now)
        log.info("snapshot removed snapshot=%s project=%s", row.id, project_id)

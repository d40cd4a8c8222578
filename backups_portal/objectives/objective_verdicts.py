"""Judge projects' objectives by their backups and measured restores."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Max, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from backups_portal.objectives.breach_rules import (
    Backup,
    Measurement,
    Period,
    Spell,
    late_backups,
    slow_restores,
)
from backups_portal.objectives.models import Breach, Objective
from snapshots.models import Snapshot

Kind = Objective.Kind
# Includes backups that retention has deleted since: they existed then.
GOOD_ONCE = Q(state__in=("completed", "expired"), taken_at__isnull=False) & ~Q(verdict="failed")
STORED = Coalesce("finished_at", "taken_at")
MEASURED = Q(verdict="passed", restore_seconds__isnull=False)


@dataclass(frozen=True)
class Judgement:
    """The verdict on an objective at a moment.

    Attributes:
        newest: The instant of the newest good backup, or the moment from which ages count; None:
            no backup is due yet.
        is_of_backup: Whether `newest` is the instant of a backup.
        last: The last measured restore.
        spells: When it was missed since the last judgement, oldest first.
    """

    newest: datetime | None = None
    is_of_backup: bool = False
    last: Measurement | None = None
    spells: Sequence[Spell] = ()


def judge(objectives: Sequence[Objective], now: datetime) -> dict[int, Judgement]:
    """Judge objectives of running projects since the last time; store nothing.

    The number of queries is constant. Each must have its project and main database loaded.
    """
    floors = _floors(objectives) if objectives else {}
    points = [one for one in objectives if one.kind == Kind.POINT]
    times = [one for one in objectives if one.kind == Kind.TIME]
    return {**dict(_points(points, floors, now)), **dict(_times(times, floors, now))}


def _floors(objectives: Sequence[Objective]) -> dict[int, datetime]:
    """Return the moment before which no breach of each can begin."""
    ended = Breach.objects.filter(objective__in=objectives, ended_at__isnull=False)
    last = dict(ended.values_list("objective").annotate(Max("ended_at")))
    return {
        one.pk: max(moment for moment in (one.began_at, one.resumed_at, last.get(one.pk)) if moment)
        for one in objectives
    }


def _points(
    objectives: Sequence[Objective], floors: dict[int, datetime], now: datetime
) -> Iterator[tuple[int, Judgement]]:
    if not objectives:
        return
    good = Snapshot.objects.filter(GOOD_ONCE).annotate(stored=STORED)
    before = good.filter(project=OuterRef("project_id"), stored__lte=OuterRef("checked_at"))
    of_project = Snapshot.objects.filter(project=OuterRef("project_id")).order_by()
    first = of_project.values("project").annotate(first=Min("scheduled_for")).values("first")
    newest = before.order_by("-taken_at").values("taken_at")[:1]
    known = _annotated(objectives, newest=newest, first=first)
    since = min(one.checked_at for one in objectives)
    later = _by_project(
        good.filter(stored__gt=since, stored__lte=now), objectives, "taken_at", "stored"
    )
    for one in objectives:
        backups = [Backup(*row) for row in later[one.project_id] if row[1] > one.checked_at]
        taken_at, first_due = known[one.pk]
        instants = [*([taken_at] if taken_at else []), *(backup.taken_at for backup in backups)]
        floor = floors[one.pk]
        if taken_at is None:
            due = first_due or one.project.main_database.next_snapshot_at
            # Once the first backup was due, everything written so far could be lost.
            if due and due < now:
                taken_at, floor = one.project.created_at, max(floor, due)
        if taken_at and one.resumed_at:
            taken_at = max(taken_at, one.resumed_at)
        spells = late_backups(taken_at, backups, one.limit, Period(one.checked_at, now, floor))
        newest_one = max(instants, default=None)
        counted = max((one for one in (taken_at, newest_one) if one), default=None)
        yield (
            one.pk,
            Judgement(newest=counted, is_of_backup=counted == newest_one, spells=spells),
        )


def _times(
    objectives: Sequence[Objective], floors: dict[int, datetime], now: datetime
) -> Iterator[tuple[int, Judgement]]:
    if not objectives:
        return
    measured = Snapshot.objects.filter(MEASURED, proven_at__lte=now)
    before = measured.filter(project=OuterRef("project_id"), proven_at__lte=OuterRef("checked_at"))
    newest = before.order_by("-proven_at")
    known = _annotated(
        objectives,
        at=newest.values("proven_at")[:1],
        seconds=newest.values("restore_seconds")[:1],
    )
    since = min(one.checked_at for one in objectives)
    later = _by_project(
        measured.filter(proven_at__gt=since), objectives, "proven_at", "restore_seconds"
    )
    for one in objectives:
        newer = [_measurement(*row) for row in later[one.project_id] if row[0] > one.checked_at]
        at, seconds = known[one.pk]
        last = _measurement(at, seconds) if at else None
        period = Period(one.checked_at, now, floors[one.pk])
        yield (
            one.pk,
            Judgement(
                last=max([*([last] if last else []), *newer], default=None),
                spells=slow_restores(last, newer, one.limit, period),
            ),
        )


def last_measurement(project_id: UUID) -> Measurement | None:
    """Return the last measured restore of a project."""
    measured = Snapshot.objects.filter(MEASURED, project=project_id).order_by("-proven_at")
    row = measured.values_list("proven_at", "restore_seconds").first()
    return _measurement(*row) if row else None


def _measurement(at: datetime, seconds: float) -> Measurement:
    return Measurement(at, timedelta(seconds=seconds))


def _annotated(
    objectives: Sequence[Objective], **values: QuerySet[Any, Any]
) -> dict[int, tuple[Any, ...]]:
    """Return the results of the subqueries for each objective, by its id."""
    rows = Objective.objects.filter(pk__in=[one.pk for one in objectives])
    found = rows.annotate(**{name: Subquery(query) for name, query in values.items()})
    return {pk: tuple(rest) for pk, *rest in found.values_list("pk", *values)}


def _by_project(
    rows: QuerySet[Snapshot], objectives: Sequence[Objective], *names: str
) -> dict[UUID, list[tuple[Any, ...]]]:
    of_projects = rows.filter(project__in={one.project_id for one in objectives})
    found: dict[UUID, list[tuple[Any, ...]]] = defaultdict(list)
    for project_id, *values in of_projects.values_list("project_id", *names):
        found[project_id].append(tuple(values))
    return found

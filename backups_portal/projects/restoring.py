"""Restores under way of some projects' backups, for pages that do not show the backups."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from backups_portal.lib.compiled import compiled
from backups_portal.projects.models import Project

# States and steps of restores, which this app does not know; they are reached by their names.
UNFINISHED = ("queued", "running")
COUNTED = {"loading": "Restoring into", "proving": "Comparing with its backup:"}
OTHERWISE = "Restoring into"
RESTORE = "snapshots__restores__"


@dataclass(frozen=True)
class RestoreUnderWay:
    """A restore that has not ended.

    Attributes:
        name: Of the project that it makes.
        verb: What is being done, so that the name follows.
        percent: How far the step at hand is; None where it does not count.
    """

    id: UUID
    name: str
    verb: str
    percent: int | None


def restores_under_way(projects: Iterable[UUID]) -> Mapping[UUID, Sequence[RestoreUnderWay]]:
    """The restores under way by the project whose backup is restored; one query."""
    found: dict[UUID, list[RestoreUnderWay]] = defaultdict(list)
    for project, pk, name, step, done, total in _restores(list(projects)):
        percent = min(100 * done // total, 100) if step in COUNTED and total else None
        found[project].append(RestoreUnderWay(pk, name, COUNTED.get(step, OTHERWISE), percent))
    return found


@compiled
def _restores(projects: list[UUID]) -> QuerySet[Project, Any]:
    of_projects = Project.objects.filter(pk__in=projects, snapshots__restores__state__in=UNFINISHED)
    fields = ("pk", "name", "step", "rows_done", "rows_total")
    rows = of_projects.order_by(f"{RESTORE}created_at")
    return rows.values_list("pk", *(f"{RESTORE}{field}" for field in fields))

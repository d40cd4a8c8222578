"""Restores and restored projects, with the names that an account may read."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from backups_portal.projects.redaction import ANOTHER, Mention, reader_of
from restores.build_steps import Step
from restores.models import Restore
from restores.restore_steps import COUNTED

SHOWN = ("name", "requested_by", "step", "rows_done", "rows_total", "snapshot__project")


@dataclass(frozen=True)
class RestoreUnderWay:
    """A restore that has not ended.

    Attributes:
        name: The new project's name if the restore is the reader's own, else a placeholder.
        verb: What is being done; the name follows it.
        percent: The progress of the current step; None if it does not count rows.
    """

    id: UUID
    name: str
    verb: str
    percent: int | None


def restores_under_way(
    projects: Iterable[UUID], reader: Account
) -> Mapping[UUID, Sequence[RestoreUnderWay]]:
    """Return unfinished restores by the project whose backup they restore."""
    found: dict[UUID, list[RestoreUnderWay]] = defaultdict(list)
    restores = Restore.objects.unfinished().filter(snapshot__project__in=list(projects))
    for one in restores.select_related("snapshot").only(*SHOWN).order_by("created_at"):
        total = one.rows_total if one.step in COUNTED else None
        percent = min(100 * one.rows_done // total, 100) if total else None
        name = one.name if one.requested_by_id == reader.pk else ANOTHER
        is_compared = one.step == Step.PROVING
        verb = "Comparing with its backup:" if is_compared else "Restoring into"
        found[one.snapshot.project_id].append(RestoreUnderWay(one.pk, name, verb, percent))
    return found


def origins_of(project_ids: Iterable[UUID]) -> Mapping[UUID, Mention]:
    """Find the projects from whose backups some projects were restored."""
    made = Restore.objects.filter(project__in=list(project_ids)).order_by()
    rows = made.values_list("project_id", "snapshot__project__name", "snapshot__project_id")
    return {pk: Mention(name, origin) for pk, name, origin in rows}


def origin_of(project: Project) -> UUID | None:
    """Find the project from whose backup a project was restored, if any."""
    made = Restore.objects.filter(project=project).order_by()
    return made.values_list("snapshot__project", flat=True).first()


def restores_for(account: Account, restores: Iterable[Any]) -> list[Any]:
    """Set the `shown_name` of each restore to what an account may see."""
    found = list(restores)
    reader = reader_of(account, [one.project_id for one in found])
    for one in found:
        one.shown_name = reader.name(one.name, one.project_id, one.requested_by_id)
    return found

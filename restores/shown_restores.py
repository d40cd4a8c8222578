"""Restores and restored projects, with the names that an account may read."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from backups_portal.projects.redaction import Mention, reader_of
from restores.models import Restore


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

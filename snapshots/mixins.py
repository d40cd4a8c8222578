"""What views of one snapshot share."""

from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.utils.functional import cached_property

from backups_portal.lib.compiled import compiled
from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin
from snapshots.models import Snapshot


@compiled
def _snapshots(project_id: UUID, pk: UUID) -> QuerySet[Snapshot]:
    snapshots = Snapshot.objects.filter(project_id=project_id, pk=pk)
    return snapshots.with_uses().select_related("hold__account", "copy")


class SnapshotMixin(ProjectPermissionMixin):
    """A page about a snapshot, fetched through the project that its address names."""

    permission = Permission.MANAGE_BACKUPS

    @cached_property
    def snapshot(self) -> Snapshot:
        """The snapshot; raises Http404 where the project has none with this id."""
        snapshot = _snapshots(self.project.pk, self.kwargs["snapshot"]).first()
        if snapshot is None:
            raise Http404("no such snapshot")
        snapshot.project = self.project
        return snapshot

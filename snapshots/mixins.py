"""What views of one snapshot share."""

from django.shortcuts import get_object_or_404
from django.utils.functional import cached_property

from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin
from snapshots.models import Snapshot


class SnapshotMixin(ProjectPermissionMixin):
    """A page about a snapshot, fetched through the project that its address names."""

    permission = Permission.MANAGE_BACKUPS

    @cached_property
    def snapshot(self) -> Snapshot:
        """The snapshot; raises Http404 where the project has none with this id."""
        snapshots = Snapshot.objects.filter(project=self.project)
        snapshot = get_object_or_404(
            snapshots.select_related("hold__account", "copy"), pk=self.kwargs["snapshot"]
        )
        snapshot.project = self.project
        return snapshot

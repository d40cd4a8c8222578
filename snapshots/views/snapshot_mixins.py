"""What views of one snapshot share."""

from django.shortcuts import get_object_or_404
from django.utils.functional import cached_property

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.access import Permission
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from snapshots.engine.errors import EngineError
from snapshots.models import Snapshot, SnapshotQuerySet
from snapshots.reports.contents import Inside, recall_inside

log = get_logger(__name__)


class SnapshotMixin(ProjectPermissionMixin):
    """A page about a snapshot, fetched through the project that its address names."""

    permission = Permission.MANAGE_BACKUPS

    @cached_property
    def snapshot(self) -> Snapshot:
        """Return the snapshot; raise Http404 if the project has none such."""
        snapshot = get_object_or_404(self.snapshots(), pk=self.kwargs["snapshot"])
        snapshot.project = self.project
        return snapshot

    def snapshots(self) -> SnapshotQuerySet:
        """Select the project's snapshots, with what the page shows."""
        found = Snapshot.objects.filter(project=self.project)
        return found.select_related("hold__account", "copy")


class InsideMixin(SnapshotMixin):
    """A page that tells what a snapshot holds, if its contents can be read."""

    unreadable = ""

    @cached_property
    def inside(self) -> Inside | None:
        """Return what is inside; None if not stored, or with `unreadable` set."""
        if self.snapshot.state != Snapshot.State.COMPLETED:
            return None
        try:
            return recall_inside(self.snapshot)
        except EngineError as error:
            log.exception("contents cannot be read", snapshot=self.snapshot.pk)
            self.unreadable = str(error)
            return None

    @property
    def sought(self) -> str:
        """Return what was searched for."""
        return self.request.GET.get("q", "").strip()

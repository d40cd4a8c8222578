"""Mixins for views of one snapshot."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.functional import cached_property
from django.views.generic import TemplateView

from backups_portal.accounts.reauthentication import RecentPasswordMixin
from backups_portal.lib.bulkhead import FullError
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from snapshots.engine.errors import EngineError
from snapshots.models import Snapshot, SnapshotQuerySet
from snapshots.reports.contents import Inside, recall_inside
from snapshots.reports.device_reading import READERS, find_obstacle

log = get_logger(__name__)


class SnapshotMixin(ProjectPermissionMixin):
    """A page about a snapshot, fetched through the project in its address."""

    @cached_property
    def snapshot(self) -> Snapshot:
        """Return the snapshot; raise Http404 if the project has no such snapshot."""
        snapshot = get_object_or_404(self.snapshots(), pk=self.kwargs["snapshot"])
        snapshot.project = self.project
        return snapshot

    def snapshots(self) -> SnapshotQuerySet:
        """Select the project's snapshots, with the relations that the page shows."""
        found = Snapshot.objects.filter(project=self.project)
        return found.select_related("hold__account", "copy")

    def get_context_data(self, **kwargs: object) -> dict[str, Any]:
        # The address parameter `snapshot`, an id, would otherwise reach the template.
        return {**super().get_context_data(**kwargs), "snapshot": self.snapshot}


class InsideMixin(SnapshotMixin):
    """A page about the contents of a snapshot, if they can be read."""

    unreadable = ""

    @cached_property
    def inside(self) -> Inside | None:
        """Return the contents; None if not stored, or with `unreadable` set."""
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
        """Return the search text."""
        return self.request.GET.get("q", "").strip()

    def get_context_data(self, **kwargs: object) -> dict[str, Any]:
        # Reading `inside` sets `unreadable`, so it must come first.
        return super().get_context_data(
            inside=self.inside, unreadable=self.unreadable, sought=self.sought, **kwargs
        )


class ReadingPage(SnapshotMixin, RecentPasswordMixin, TemplateView):
    """A page that reads a stored backup, or explains why it cannot be read."""

    password_for = ("GET",)

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        status, found = self._look()
        response = self.render_to_response(self.get_context_data(**found), status=status)
        if isinstance(busy := found.get("busy"), int):
            response["Retry-After"] = str(busy)
        response["Cache-Control"] = "no-store"
        return response

    def _look(self) -> tuple[int, dict[str, object]]:
        if self.snapshot.state != Snapshot.State.COMPLETED:
            return self.not_stored()
        try:
            with READERS.entered():
                found = self.read()
        except EngineError as error:
            log.exception("a backup cannot be read", snapshot=self.snapshot.pk)
            return HTTPStatus.OK, {"obstacle": find_obstacle(self.snapshot, error)}
        except FullError as full:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"busy": full.seconds}
        if self.request.method == "GET":
            self.note(found)
        is_wrong = getattr(found.get("form"), "errors", None)
        return HTTPStatus.BAD_REQUEST if is_wrong else HTTPStatus.OK, found

    def not_stored(self) -> tuple[int, dict[str, object]]:
        """Return status and context of a page about a backup not stored."""
        raise NotImplementedError

    def read(self) -> dict[str, object]:
        """Read what the page shows; raise EngineError."""
        raise NotImplementedError

    def note(self, found: Mapping[str, object]) -> None:
        """Record who looked at what was found."""
        raise NotImplementedError

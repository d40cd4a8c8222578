"""The page that shows the resources of a snapshot as people read them."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.generic import TemplateView

from backups_portal.accounts.reauthentication import RecentPasswordMixin
from backups_portal.lib.bulkhead import FullError
from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import EngineError
from snapshots.models import Snapshot
from snapshots.reports.device_reading import (
    READERS,
    find_obstacle,
    note_look_at_resources,
    open_snapshot,
)
from snapshots.reports.resource_lines import Kind, ResourceLine, kinds_of, resource_lines
from snapshots.views.snapshot_mixins import SnapshotMixin

log = get_logger(__name__)

LINES = 20


class ResourcesView(SnapshotMixin, RecentPasswordMixin, TemplateView):
    """Dashboards with their widgets, actions, dictionaries …: `?kind=` says which."""

    http_method_names = ["get", "head"]
    password_for = ("GET",)
    template_name = "snapshots/resources.html"

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        found, status = self._look(), 200
        if isinstance(seconds := found.get("busy"), int):
            status = 503
        response = self.render_to_response(
            self.get_context_data(
                snapshot=self.snapshot,
                zone=self.project.main_database.backup_time_zone,
                **found,
            ),
            status=status,
        )
        if status == 503:
            response["Retry-After"] = str(seconds)
        response["Cache-Control"] = "no-store"
        return response

    def _look(self) -> dict[str, object]:
        if self.snapshot.state != Snapshot.State.COMPLETED:
            return {"is_not_stored": True}
        try:
            with READERS.entered():
                kinds, kind, lines = self._read()
        except EngineError as error:
            log.exception("resources cannot be read", snapshot=self.snapshot.pk)
            return {"obstacle": find_obstacle(self.snapshot, error)}
        except FullError as full:
            return {"busy": full.seconds}
        if kind and self.request.method == "GET":
            note_look_at_resources(self.snapshot, self.account, kind.label)
        sought = self.request.GET.get("q", "").strip()
        found = [one for one in lines if sought.casefold() in f"{one.title} {one.id}".casefold()]
        return {
            "kinds": kinds,
            "kind": kind,
            "sought": sought,
            "lines": Paginator(found, LINES).get_page(self.request.GET.get("page")),
        }

    def _read(self) -> tuple[list[Kind], Kind | None, list[ResourceLine]]:
        storage, manifest = open_snapshot(self.snapshot)
        kinds = kinds_of(manifest)
        asked = self.request.GET.get("kind", "")
        kind = next((one for one in kinds if one.name == asked), kinds[0] if kinds else None)
        return kinds, kind, resource_lines(storage, manifest, kind.name) if kind else []

"""Pages that list what a snapshot contains, and what it leaves out."""

from collections.abc import Mapping
from http import HTTPStatus

from django.core.paginator import Paginator
from django.views.generic import TemplateView

from snapshots.reports.contents import search_devices, search_excluded
from snapshots.reports.device_reading import note_look_at_resources, open_snapshot
from snapshots.reports.resource_lines import Kind, ResourceLine, kinds_of, resource_lines
from snapshots.views.snapshot_mixins import InsideMixin, ReadingPage

LINES = 25
# With their settings, resources are longer than other lines.
RESOURCES = 20


class DevicesView(InsideMixin, TemplateView):
    """Every device in a snapshot, with its rows, first and last times."""

    template_name = "snapshots/devices.html"

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        found = search_devices(self.inside.devices if self.inside else [], self.sought)
        return {
            **super().get_context_data(**kwargs),
            "devices": Paginator(found, LINES).get_page(self.request.GET.get("page")),
        }


class ExcludedView(InsideMixin, TemplateView):
    """Everything that a snapshot leaves out, by name."""

    template_name = "snapshots/excluded.html"

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        excluded = search_excluded(self.inside.excluded if self.inside else [], self.sought)
        return {
            **super().get_context_data(**kwargs),
            "excluded": Paginator(excluded, LINES).get_page(self.request.GET.get("page")),
        }


class ResourcesView(ReadingPage):
    """Dashboards with their widgets, actions, dictionaries …, by `?kind=`."""

    template_name = "snapshots/resources.html"

    def not_stored(self) -> tuple[int, dict[str, object]]:
        return HTTPStatus.OK, {"is_not_stored": True}

    def read(self) -> dict[str, object]:
        kinds, kind, lines = self._read()
        sought = self.request.GET.get("q", "").strip()
        found = [one for one in lines if sought.casefold() in f"{one.title} {one.id}".casefold()]
        return {
            "kinds": kinds,
            "kind": kind,
            "sought": sought,
            "lines": Paginator(found, RESOURCES).get_page(self.request.GET.get("page")),
        }

    def note(self, found: Mapping[str, object]) -> None:
        if isinstance(kind := found["kind"], Kind):
            note_look_at_resources(self.snapshot, self.account, kind.label)

    def _read(self) -> tuple[list[Kind], Kind | None, list[ResourceLine]]:
        storage, manifest = open_snapshot(self.snapshot)
        kinds = kinds_of(manifest)
        asked = self.request.GET.get("kind", "")
        kind = next((one for one in kinds if one.name == asked), kinds[0] if kinds else None)
        return kinds, kind, resource_lines(storage, manifest, kind.name) if kind else []

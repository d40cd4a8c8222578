"""Pages that list the devices of a snapshot, and what it leaves out."""

from django.core.paginator import Paginator
from django.views.generic import TemplateView

from snapshots.reports.contents import search_devices, search_excluded
from snapshots.views.snapshot_mixins import InsideMixin

LINES = 25


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

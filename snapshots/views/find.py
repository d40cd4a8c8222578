"""Which backup still has the rows that somebody lost."""

import logging
from typing import Any

from django.utils import timezone
from django.views.generic import TemplateView

from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin
from snapshots.engine.errors import EngineError
from snapshots.finding import MOST_DEVICES, Found, find_devices, find_rows
from snapshots.forms import FindForm

log = logging.getLogger(__name__)


class FindView(ProjectPermissionMixin, TemplateView):
    """Every stored backup with the rows that it has of a device, on a day or on all days."""

    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head"]
    template_name = "snapshots/find.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        is_asked = "device" in self.request.GET
        form = FindForm(self.request.GET if is_asked else None)
        return {
            **super().get_context_data(**kwargs),
            "form": form,
            "now": timezone.now(),
            "zone": self.project.main_database.backup_time_zone,
            **(self.answer(**form.cleaned_data) if is_asked and form.is_valid() else {}),
        }

    def answer(self, device: str, day: Any) -> dict[str, Any]:
        """The backups with their rows; the devices to choose from where several are meant."""
        try:
            matching = find_devices(self.project, device)
            devices = matching.devices
            if len(devices) != 1:
                return {
                    "devices": devices[:MOST_DEVICES],
                    "devices_total": len(devices),
                    "is_unknown": not devices,
                    "unreadable": matching.unreadable,
                }
            found = find_rows(self.project, devices[0].device_id, day)
        except EngineError as error:
            log.exception("no backup was asked project=%s", self.project.pk)
            return {"failure": str(error)}
        return {"device": devices[0], "day": day, "found": found, "summary": _summary(found)}


def _summary(found: Found) -> str:
    """Which backup to restore, in a sentence; "" where none has any."""
    if not found.best or not found.best.rows:
        return ""
    rows = f"{found.best.rows:,} row{'s'[: found.best.rows != 1]}"
    name = found.best.snapshot.day_name
    newest = f"The newest backup with the most of them is that of {name}: {rows}."
    if found.now == found.best.rows:
        return f"{newest} The database has as many now."
    return newest

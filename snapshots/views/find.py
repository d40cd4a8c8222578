"""The search for backups that still have lost rows."""

from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.utils import timezone
from django.views.generic import TemplateView

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui import formats, moments
from backups_portal.ui.viewer_time_zone import viewers_zone
from snapshots.engine.errors import EngineError
from snapshots.forms import SearchForm
from snapshots.models import Snapshot
from snapshots.reports.lost_rows import MAX_DEVICES, Found, find_devices, find_rows

log = get_logger(__name__)

ON_A_PAGE = 25


class FindView(ProjectPermissionMixin, TemplateView):
    """Every stored backup with its rows of a device, on some days or in total."""

    template_name = "snapshots/find.html"

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        is_asked = "device" in self.request.GET
        form = SearchForm(self.request.GET if is_asked else None)
        # Focus the name to type, but not once there is an answer to read.
        form.fields["device"].widget.attrs["autofocus"] = not is_asked
        return {
            **super().get_context_data(**kwargs),
            "form": form,
            "newest": Snapshot.objects.filter(project=self.project).not_newer().newest_good(),
            "now": timezone.now(),
            "has_backups": Snapshot.objects.completed().filter(project=self.project).exists(),
            **(self.answer(**form.cleaned_data) if is_asked and form.is_valid() else {}),
        }

    def answer(
        self, device: str, day: date | None, last_day: date | None, variable: str
    ) -> dict[str, object]:
        """Return the backups with their rows, or the devices to choose from."""
        try:
            matching = find_devices(self.project, device)
            devices = matching.devices
            if len(devices) != 1:
                return {
                    "devices": devices[:MAX_DEVICES],
                    "devices_total": len(devices),
                    "is_unknown": not devices,
                    "unreadable": matching.unreadable,
                }
            device_id, name = devices[0].device_id, devices[0].name
            found = find_rows(self.project, device_id, day, last_day, name=name, variable=variable)
        except EngineError as error:
            log.exception("no backup was asked", project=self.project.pk)
            return {"failure": str(error)}
        return {
            "device": devices[0],
            "day": day,
            "last_day": last_day if last_day != day else None,
            "variable": variable,
            "inside": self._inside(day, last_day, variable),
            "found": found,
            "page": Paginator(found.holdings, ON_A_PAGE).get_page(self.request.GET.get("page")),
            "summary": _summary(found),
            "missing": _missing(found),
            "sought": _sought(
                devices[0].device_id, day, last_day if last_day != day else None, variable
            ),
        }

    def _inside(self, day: date | None, last_day: date | None, variable: str) -> str:
        """Return the query that shows the searched rows inside a backup."""
        zone = viewers_zone() or self.project.main_database.backup_time_zone
        asked = {"variable": variable} if variable else {}
        if day:
            bounds = {"since": datetime.combine(day, time.min, UTC)}
            # Python has no day after date.max.
            if (last := last_day or day) < date.max:
                bounds["until"] = datetime.combine(last, time.min, UTC) + timedelta(days=1)
            asked |= {
                name: f"{formats.local(at, zone):%Y-%m-%dT%H:%M}" for name, at in bounds.items()
            }
        return urlencode(asked)


def _summary(found: Found) -> str:
    """Summarise how many rows exist now, and which backup has the most."""
    if found.holdings and not found.has_variable:
        return "No backup of this device has such a variable"
    now = "Now: not known" if found.now is None else f"Now: {formats.count(found.now, 'row')}"
    if found.best is None:
        return f"{now}; no backup that can be restored has any"
    most = found.best.rows or 0
    return f"{now}; most in the backup of {moments.day(found.best.snapshot.local_date)}: {most:,}"


def _missing(found: Found) -> int | None:
    """Return how many more rows the best backup has; None if unknown."""
    if found.best is None or found.now is None:
        return None
    return max((found.best.rows or 0) - found.now, 0)


def _sought(device_id: str, day: date | None, last_day: date | None, variable: str) -> str:
    """Return the query that tells a restore which rows are being looked for."""
    days = {"day": day, "last_day": last_day}
    asked = {name: on.isoformat() for name, on in days.items() if on}
    return urlencode({"device": device_id, **asked, **({"variable": variable} if variable else {})})

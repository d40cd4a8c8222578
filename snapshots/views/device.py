"""Pages about a device inside a backup: records, variables, exports."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from http import HTTPStatus

from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.functional import cached_property

from backups_portal.accounts.reauthentication import RecentPasswordMixin
from backups_portal.lib.bulkhead import FullError
from backups_portal.lib.loggers import get_logger
from backups_portal.ui import formats
from backups_portal.ui.measurement_chart import Measured, measurements
from backups_portal.ui.streamed_export import CSV, ExportedFileView
from backups_portal.ui.viewer_time_zone import viewers_zone
from snapshots.engine.device_records import TooLongError
from snapshots.engine.errors import EngineError
from snapshots.engine.record_rows import records_of
from snapshots.engine.series_search import Cursor, Selection, Series
from snapshots.forms import ChartForm, RecordsForm
from snapshots.models import Snapshot
from snapshots.reports.device_reading import (
    FILE_SECONDS,
    FILES,
    PAGE_SECONDS,
    OpenDevice,
    UnknownDeviceError,
    find_obstacle,
    note_export,
    note_look,
    open_device,
)
from snapshots.reports.variable_chart import TooManyError, values_in_backup, values_now
from snapshots.reports.variable_lines import variable_lines
from snapshots.retention.reader_leases import LeasedFile, lease_to_reader
from snapshots.views.snapshot_mixins import ReadingPage, SnapshotMixin

log = get_logger(__name__)

LINES = 50
WEEK = timedelta(days=7)
PARQUET = "application/vnd.apache.parquet"
NOT_STORED = "This backup is not stored, so there are no records to show."


class DeviceMixin(SnapshotMixin):
    """A page or file about a device, which is opened in its backup."""

    seconds = PAGE_SECONDS

    @cached_property
    def opened(self) -> OpenDevice:
        """Open the device; raise Http404 if the backup lacks it, or EngineError."""
        try:
            return open_device(self.snapshot, self.kwargs["device"], seconds=self.seconds)
        except UnknownDeviceError as error:
            raise Http404("no such device") from error

    @property
    def clocks(self) -> str:
        """Return the zone of typed times: the viewer's, or else the project's."""
        return viewers_zone() or self.project.main_database.backup_time_zone

    def form(self) -> RecordsForm:
        """Return the filter in the address, not validated yet."""
        records = self.opened.records
        return RecordsForm(self.request.GET, series=records.series, zone=self.clocks)


class DevicePage(DeviceMixin, ReadingPage):
    """A page that reads records."""

    def not_stored(self) -> tuple[int, dict[str, object]]:
        return HTTPStatus.CONFLICT, {"refusal": NOT_STORED}

    def read(self) -> dict[str, object]:
        found = {"device": self.opened.device, **self.look()}
        return {**found, "is_from_copy": self.opened.is_from_copy}

    def look(self) -> dict[str, object]:
        """Read what the page shows; raise EngineError."""
        raise NotImplementedError

    def note(self, found: Mapping[str, object]) -> None:
        note_look(self.snapshot, self.account, self.opened.device)

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(device_id=self.kwargs["device"], **kwargs)


class DeviceRecordsView(DevicePage):
    """The records of a device, newest first, read from their segments."""

    template_name = "snapshots/device.html"

    def look(self) -> dict[str, object]:
        form = self.form()
        if not form.is_valid():
            return {"form": form, "lines": []}
        selection = form.selection()
        try:
            cursor = Cursor.parse(self.request.GET["before"])
        except (KeyError, ValueError):
            cursor = None
        page = self.opened.records.newest(selection, before=cursor, limit=LINES)
        return {
            "form": form,
            "is_filtered": any(form.cleaned_data.values()),
            "lines": list(records_of(page.rows, selection.series, self.opened.prefix)),
            "older": page.after,
            "is_cut": page.is_cut,
            "is_newest": cursor is None,
        }


class DeviceVariablesView(DevicePage):
    """The variables of a device: record counts, first and last times."""

    template_name = "snapshots/device_variables.html"

    def look(self) -> dict[str, object]:
        records = self.opened.records
        try:
            spans = records.spans(Selection(records.series))
        except TooLongError:
            return {"is_too_long": True}
        return {"variables": variable_lines(records.series, spans)}


class DeviceChartView(DevicePage):
    """A variable over a period, in the backup and, if asked, now."""

    template_name = "snapshots/device_chart.html"

    def look(self) -> dict[str, object]:
        form = ChartForm(self._asked(), series=self._numeric, zone=self.clocks)
        if not self._numeric:
            return {"is_without_numbers": True}
        if not form.is_valid():
            return {"form": form}
        try:
            return {"form": form, **self._drawn(form)}
        except TooLongError:
            form.add_error("until", "There are too many records in this period. Shorten it.")
            return {"form": form}

    @cached_property
    def _numeric(self) -> list[Series]:
        return [one for one in self.opened.records.series if one.type == "number"]

    def _asked(self) -> QueryDict:
        """Return the address's values, with the device's last week as the default."""
        asked = self.request.GET.copy()
        last = self.opened.device.last or timezone.now()
        # Include the whole minute of the last record.
        until = _moved(formats.local(last, self.clocks), timedelta(minutes=1))
        for name, at in (("since", _moved(until, -WEEK)), ("until", until)):
            asked.setdefault(name, at.replace(tzinfo=None).isoformat(timespec="minutes"))
        if self._numeric:
            asked.setdefault("variable", self._numeric[0].variable)
        return asked

    def _drawn(self, form: ChartForm) -> dict[str, object]:
        values, series = form.cleaned_data, form.chosen()
        period = values["since"], values["until"]
        then = values_in_backup(self.opened.records, series, *period)
        now: Measured | None = ()
        is_too_many = False
        if values["now"]:
            try:
                device = self.opened.device.device_id
                now = values_now(self.project, device, values["variable"], *period)
            except TooManyError:
                is_too_many = True
        units = list(dict.fromkeys(one.unit for one in series if one.unit))
        drawn = measurements(
            then,
            since=period[0],
            until=period[1],
            unit=units[0] if len(units) == 1 else "",
            zone=self.clocks,
            others=now or (),
        )
        return {
            "drawn": drawn,
            "is_compared": values["now"],
            "is_silent": now is None,
            "is_too_many": is_too_many,
            "has_now": bool(now),
            "has_then": bool(then),
        }


def _moved(moment: datetime, by: timedelta) -> datetime:
    """Add to a moment, within the years 1 to 9999."""
    try:
        return moment + by
    except OverflowError:
        return (datetime.max if by > timedelta() else datetime.min).replace(tzinfo=moment.tzinfo)


class DeviceExportView(DeviceMixin, RecentPasswordMixin, ExportedFileView):
    """A device's records as a file: `?format=csv` or `parquet`, filtered."""

    password_for = ("GET",)
    seconds = FILE_SECONDS

    @property
    def content_type(self) -> str:  # type: ignore[override]  # the address chooses it
        """Return the type of the file that is asked for."""
        return PARQUET if self.kind == "parquet" else CSV

    @property
    def kind(self) -> str:
        """Return the format that is asked for."""
        return "parquet" if self.request.GET.get("format") == "parquet" else "csv"

    def head(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Answer with headers only; 404 if the project has no such backup."""
        _ = self.snapshot
        return super().head(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if self.snapshot.state != Snapshot.State.COMPLETED:
            return _refused(HTTPStatus.CONFLICT, NOT_STORED)
        try:
            return self._file()
        except FullError as full:
            response = _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(full))
            response["Retry-After"] = str(full.seconds)
            return response
        except EngineError as error:
            obstacle = find_obstacle(self.snapshot, error)
            log.exception("a device cannot be exported", snapshot=self.snapshot.pk)
            status = HTTPStatus.SERVICE_UNAVAILABLE if obstacle.is_passing else HTTPStatus.CONFLICT
            return _refused(status, str(obstacle))

    def _file(self) -> HttpResponseBase:
        kind, form, opened = self.kind, self.form(), self.opened
        if not form.is_valid():
            return _refused(HTTPStatus.BAD_REQUEST, "The filter cannot be understood.")
        # If anything fails before the response exists, both the place and the lease are released.
        with ExitStack() as held:
            held.enter_context(FILES.entered())
            lease = lease_to_reader(self.snapshot, self.account)
            if lease is None:
                return _refused(HTTPStatus.CONFLICT, NOT_STORED)
            held.callback(lease.release)
            note_export(self.snapshot, self.account, opened.device, kind)
            content = opened.file(form.selection(), kind)
            pieces = LeasedFile(lease, content, held.pop_all())
        name = f"{opened.device.device_id}-{self.snapshot.local_date}.{kind}"
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        }
        return StreamingHttpResponse(pieces, content_type=self.content_type, headers=headers)


def _refused(status: int, reason: str) -> HttpResponse:
    return HttpResponse(reason, status=status, content_type="text/plain; charset=utf-8")

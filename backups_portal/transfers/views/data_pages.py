"""The page that exports and imports records of a device as CSV."""

import psycopg
from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.database_dsn import why_silent
from backups_portal.projects.models import Project
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.transfers.csv_files.csv_format import MAX_BYTES
from backups_portal.transfers.csv_files.csv_import import ImportOptions
from backups_portal.transfers.csv_files.csv_import_export import (
    export_csv,
    import_csv,
)
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.pages.device_list import find_device, list_devices
from backups_portal.ui.deferred_list import ListBehindMixin
from backups_portal.ui.form_views import RefusingFormView
from backups_portal.ui.streamed_export import ExportedFileView, csv_response

log = get_logger(__name__)

DEVICES = 25
NO_DEVICE = "This project has no such device. Choose one of the list."


class ImportForm(forms.Form):
    """A CSV file, and the device to import it into."""

    device = forms.CharField(max_length=24, widget=forms.HiddenInput)
    file = forms.FileField(
        label="CSV file",
        help_text="Columns variable, value, group, unit, location, metadata, time, value_type; "
        "at most 200 MB and 1,000,000 rows. Write times as 2026-11-30 23:00, in UTC, "
        "or with an offset, as 2026-11-30T23:00:00+01:00.",
    )
    good_rows = forms.BooleanField(required=False, label="Skip bad rows")
    again = forms.BooleanField(required=False, label="Also import rows that the device already has")


class DataView(ProjectPermissionMixin, ListBehindMixin, RefusingFormView):
    """Export and import of records; `?device=` opens the import into one."""

    template_name = "transfers/data.html"
    list_template_name = "transfers/_data_devices.html"
    form_class = ImportForm
    http_method_names = ["get", "head", "post"]
    # The file and the rest of the form; the form itself refuses a larger file.
    max_body_bytes = MAX_BYTES + 5_000_000

    def get_initial(self) -> dict[str, object]:
        return {"device": self.request.GET.get("device", "")}

    def get_template_names(self) -> list[str]:
        # Replace only the import's part, so that the browser keeps the rest.
        is_import = self.request.method == "POST" and "HX-Request" in self.request.headers
        return ["transfers/_import.html"] if is_import else super().get_template_names()

    def refuse(self, form: ImportForm, status: int = 400) -> HttpResponse:
        # htmx swaps a part in only if its status is a success.
        return super().refuse(form, 200 if "HX-Request" in self.request.headers else status)

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        # A page without the list does not wait for the project's database.
        listed = self._devices() if self.is_list_wanted else {}
        key = self.request.POST.get("device") or self.request.GET.get("device")
        if (key or self.request.method == "POST") and not self.is_part:
            listed |= self._target(key or "")
        return super().get_context_data(**listed, **kwargs)

    def _target(self, key: str) -> dict[str, object]:
        """Read the device into which a file is imported."""
        try:
            device = find_device(self.project, key)
        except psycopg.Error as error:
            return {"no_device": why_silent(self.project, error)}
        return {"device": device} if device else {"no_device": NO_DEVICE}

    def _devices(self) -> dict[str, object]:
        """Read the requested page of devices."""
        sought, number = self.request.GET.get("q", "").strip(), self.request.GET.get("page")
        try:
            found = list_devices(self.project, sought=sought, number=number, size=DEVICES)
        except psycopg.Error as error:
            log.warning("devices cannot be listed", project=self.project.pk, exc_info=True)
            return {"unreachable": why_silent(self.project, error)}
        return {"devices": found.page, "sought": sought}

    def form_valid(self, form: ImportForm) -> HttpResponse:
        values = form.cleaned_data
        try:
            done = import_csv(
                self.project,
                values["device"],
                values["file"],
                ImportOptions(
                    good_only=values["good_rows"],
                    again=values["again"],
                    is_preview="preview" in self.request.POST,
                ),
                actor=self.account,
            )
        except psycopg.Error as error:
            form.add_error(None, why_silent(self.project, error))
            return self.form_invalid(form)
        is_refused = done.is_refused and not done.options.is_preview
        context = self.get_context_data(form=form, done=done)
        is_error = is_refused and "HX-Request" not in self.request.headers
        return self.render_to_response(context, status=400 if is_error else 200)


class ExportView(ProjectPermissionMixin, ExportedFileView):
    """A device's records as a file."""

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        device = str(kwargs["device"])
        try:
            parts = export_csv(self.project, device, actor=self.account)
        except TransferRefusedError as refused:
            raise Http404(refused.message) from refused
        except psycopg.Error as error:
            return not_exported(self.project, error)
        return csv_response(f"{device}.csv", parts)


def not_exported(project: Project, error: psycopg.Error) -> HttpResponse:
    """Answer with the reason instead of a file."""
    log.warning("nothing was exported", project=project.pk, exc_info=error)
    return HttpResponse(why_silent(project, error), status=503, content_type="text/plain")

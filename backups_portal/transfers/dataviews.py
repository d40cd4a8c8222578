"""Pages beside transfers: CSV by hand, and the map of old and new ids."""

import logging
from collections.abc import Iterator
from typing import Any

import psycopg
from django import forms
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.generic import FormView, View

from backups_portal.audit.services import address_of
from backups_portal.projects.access import Permission
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.mixins import ProjectPermissionMixin
from backups_portal.projects.models import Project
from backups_portal.transfers.csvfiles import MAX_BYTES
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.exchanging import export_csv, import_csv, page_of_devices
from backups_portal.transfers.lookup import (
    NewToken,
    find_variable,
    list_tokens,
    transfers_into,
    variables_of_restore,
    variables_of_transfer,
)
from backups_portal.ui.behind import ListBehindMixin
from restores.models import Restore

log = logging.getLogger(__name__)

DEVICES = 25
UNREACHABLE = "The project's database does not answer now."


class ImportForm(forms.Form):
    """A file for a device."""

    device = forms.CharField(max_length=24, label="Device", help_text="Its id.")
    file = forms.FileField(
        label="CSV file",
        help_text="Headers variable, value, group, unit, location, metadata, time; at most 200 MB "
        "and 1,000,000 rows.",
    )
    good_rows = forms.BooleanField(
        required=False, label="Import the good rows where some lines are bad"
    )


class DataView(ProjectPermissionMixin, ListBehindMixin, FormView):
    """Export and import of a device's records."""

    permission = Permission.MANAGE_BACKUPS
    template_name = "transfers/data.html"
    list_template_name = "transfers/_data_devices.html"
    form_class = ImportForm
    http_method_names = ["get", "head", "post"]
    # A file, and what a form has around it; a larger file is told so by the form.
    max_body_bytes = MAX_BYTES + 5_000_000

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # A page without the list does not wait for the project's database.
        listed = self._devices() if self.is_list_wanted else {}
        return super().get_context_data(**listed, **kwargs)

    def _devices(self) -> dict[str, Any]:
        """The devices that can be exported, as far as the address asks for them."""
        sought, number = self.request.GET.get("q", "").strip(), self.request.GET.get("page")
        try:
            page = page_of_devices(self.project, sought=sought, number=number, size=DEVICES)
        except psycopg.Error:
            log.warning("devices cannot be listed project=%s", self.project.pk, exc_info=True)
            return {"unreachable": UNREACHABLE}
        return {"devices": page, "sought": sought}

    def form_valid(self, form: ImportForm) -> HttpResponse:
        values = form.cleaned_data
        try:
            done = import_csv(
                self.project,
                values["device"],
                values["file"],
                actor=self.account,
                good_only=values["good_rows"],
                preview="preview" in self.request.POST,
                address=address_of(self.request),
            )
        except TransferRefusedError as refused:
            form.add_error(refused.field, refused.message)
            return self.form_invalid(form)
        except psycopg.Error:
            form.add_error(None, UNREACHABLE)
            return self.form_invalid(form)
        is_refused = bool(done.bad) and not done.rows and "preview" not in self.request.POST
        context = self.get_context_data(form=form, done=done)
        return self.render_to_response(context, status=400 if is_refused else 200)

    def form_invalid(self, form: ImportForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=400)


class ExportView(ProjectPermissionMixin, View):
    """A device's records as a file."""

    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        device = kwargs["device"]
        try:
            parts = export_csv(
                self.project, device, actor=self.account, address=address_of(request)
            )
        except TransferRefusedError as refused:
            raise Http404(refused.message) from refused
        except psycopg.Error:
            return HttpResponse(UNREACHABLE, status=503, content_type="text/plain")
        return _csv(f"{device}.csv", parts)


class OldIdForm(forms.Form):
    """What to look up."""

    old = forms.CharField(
        label="Old variable id or token",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Enter an old variable id or an old token."},
    )


class IdsView(ProjectPermissionMixin, FormView):
    """What took the place of an old id or token."""

    permission = Permission.MANAGE_BACKUPS
    template_name = "transfers/ids.html"
    form_class = OldIdForm
    http_method_names = ["get", "head", "post"]

    def form_valid(self, form: OldIdForm) -> HttpResponse:
        # Posted, so that a token stands in no address and no log.
        try:
            tokens, variable = _find(self.project, form.cleaned_data["old"])
        except psycopg.Error:
            log.warning("ids cannot be looked up project=%s", self.project.pk, exc_info=True)
            form.add_error(None, UNREACHABLE)
            return self.refuse(form, 503)
        context = self.get_context_data(
            form=self.form_class(), tokens=tokens, variable=variable, is_answer=True
        )
        return self.render_to_response(context)

    def form_invalid(self, form: OldIdForm) -> HttpResponse:
        return self.refuse(form, 400)

    def refuse(self, form: OldIdForm, status: int) -> HttpResponse:
        """The page again, with what was wrong."""
        return self.render_to_response(self.get_context_data(form=form), status=status)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            restore=Restore.objects.filter(project=self.project).first(),
            transfers=transfers_into(self.project),
            **kwargs,
        )


class VariablesCsvView(ProjectPermissionMixin, View):
    """The map of variable ids as a file, of the restore and of the transfers."""

    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        lines = (f"{old},{new}\r\n" for old, new in _all_variables(self.project))
        return _csv("variables.csv", _headed("old,new", lines))


def _all_variables(project: Project) -> Iterator[tuple[str, str]]:
    for restore in Restore.objects.select_related("snapshot__project", "project").filter(
        project=project
    ):
        yield from variables_of_restore(restore)
    for transfer in transfers_into(project):
        yield from variables_of_transfer(transfer)


def _find(project: Project, old: str) -> tuple[list[NewToken], str | None]:
    with psycopg.connect(project_dsn(project), connect_timeout=10) as connection:
        if tokens := list_tokens(connection, old=old):
            return tokens, None
    return [], find_variable(project, old)


def _headed(headers: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"{headers}\r\n"
    yield from lines


def _csv(name: str, parts: Iterator[str]) -> HttpResponseBase:
    response = StreamingHttpResponse(parts, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response

"""The page that finds the replacement of an old id or token, and the export of all ids."""

from itertools import chain

import psycopg
from django import forms
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.database_dsn import why_silent
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.replaced_ids.id_lookup import find_new, transfers_into, variables_of
from backups_portal.ui.form_views import RefusingFormView
from backups_portal.ui.streamed_export import ExportedFileView, csv_response
from restores.models import Restore

log = get_logger(__name__)


class OldIdForm(forms.Form):
    """The old id or token to look up."""

    old = forms.CharField(
        label="Old variable ID or token",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Enter an old variable id or an old token."},
    )


class IdsView(ProjectPermissionMixin, RefusingFormView):
    """The replacement of an old id or token."""

    template_name = "replaced_ids/ids.html"
    form_class = OldIdForm
    http_method_names = ["get", "head", "post"]

    def form_valid(self, form: OldIdForm) -> HttpResponse:
        # By POST, so that tokens are not in addresses and logs.
        try:
            tokens, variable = find_new(self.project, form.cleaned_data["old"])
        except psycopg.Error as error:
            log.warning("ids cannot be looked up", project=self.project.pk, exc_info=True)
            form.add_error(None, why_silent(self.project, error))
            return self.refuse(form, 503)
        context = self.get_context_data(
            form=self.form_class(), tokens=tokens, variable=variable, is_answer=True
        )
        return self.render_to_response(context)

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(
            restore=Restore.objects.filter(project=self.project).first(),
            transfers=transfers_into(self.project),
            **kwargs,
        )


class VariablesCsvView(ProjectPermissionMixin, ExportedFileView):
    """The map of variable ids as CSV, for the restore and the transfers."""

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        lines = (f"{old},{new}\r\n" for old, new in variables_of(self.project))
        return csv_response("variables.csv", chain(["old,new\r\n"], lines))

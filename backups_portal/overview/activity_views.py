"""A project's activity: its filtered audit log, as a page and as CSV."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from backups_portal.audit.audit_log import as_csv, event_in_words, events_of
from backups_portal.audit.models import AuditEvent
from backups_portal.overview.event_redaction import EVENTS_AT_A_TIME, events_for
from backups_portal.projects.access import Permission
from backups_portal.projects.forms import ActivityForm
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui import moments
from backups_portal.ui.pagination import PagedView
from backups_portal.ui.streamed_export import ExportedFileView, csv_response


class Filtered(ProjectPermissionMixin):
    """The base of views of filtered events; invalid filters are ignored."""

    permission = Permission.MANAGE_PROJECT
    http_method_names = ["get", "head", "options"]

    def filter_form(self) -> ActivityForm:
        """Return the validated filter."""
        form = ActivityForm(self.request.GET)
        form.full_clean()
        return form

    def events(self, form: ActivityForm) -> QuerySet[AuditEvent]:
        """Select the events that match the filter, newest first."""
        return events_of(self.project.pk, **form.cleaned_data)


class ActivityView(Filtered, PagedView):
    """The events of a project, with who, when and from where."""

    template_name = "projects/activity.html"
    paginate_by = 25

    def get_queryset(self) -> Any:
        self.form = self.filter_form()
        return self.events(self.form)

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        context = super().get_context_data(**kwargs)
        events = events_for(self.account, context["object_list"])
        return {
            **context,
            "rows": [event_in_words(event, moments.day) for event in events],
            "form": self.form,
            "is_filtered": any(self.form.cleaned_data.values()) or bool(self.form.errors),
        }


class ActivityCsvView(Filtered, ExportedFileView):
    """All of the filtered events as CSV."""

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        events = self.events(self.filter_form()).iterator(chunk_size=EVENTS_AT_A_TIME)
        lines = as_csv(events_for(self.account, events))
        return csv_response(f"activity-{self.project.slug}.csv", lines)

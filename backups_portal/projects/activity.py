"""The page of a project's activity: the audit log, filtered, and as CSV."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.generic import View

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.reading import (
    all_events_of,
    as_csv,
    details_in_words,
    events_of,
    in_words,
)
from backups_portal.projects.access import Permission
from backups_portal.projects.forms import ActivityForm
from backups_portal.projects.mixins import ProjectPermissionMixin
from backups_portal.ui.paging import PagedView


class Filtered(ProjectPermissionMixin):
    """The events that the address asks for; what makes no sense in it is left out."""

    permission = Permission.MANAGE_PROJECT
    http_method_names = ["get", "head", "options"]

    def filter_form(self) -> ActivityForm:
        """The filter, checked."""
        form = ActivityForm(self.request.GET)
        form.full_clean()
        return form

    def events(self, form: ActivityForm) -> QuerySet[AuditEvent]:
        """What the filter lets through, newest first."""
        return events_of(self.project.pk, **form.cleaned_data)


class ActivityView(Filtered, PagedView):
    """Who did what, when, and from where."""

    template_name = "projects/activity.html"
    paginate_by = 25

    def get_queryset(self) -> Any:
        self.form = self.filter_form()
        is_filtered = any(self.form.cleaned_data.values())
        return self.events(self.form) if is_filtered else all_events_of(self.project.pk)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        rows = [
            {
                "event": event,
                "action": in_words(event.action),
                "details": details_in_words(event.details),
            }
            for event in context["object_list"]
        ]
        return {
            **context,
            "rows": rows,
            "form": self.form,
            "is_filtered": any(self.form.cleaned_data.values()) or bool(self.form.errors),
            "zone": self.project.main_database.backup_time_zone,
        }


class ActivityCsvView(Filtered, View):
    """The same events as CSV, all of them."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        lines = as_csv(self.events(self.filter_form()))
        response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        name = f"activity-{self.project.slug}.csv"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

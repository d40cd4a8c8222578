"""The list of projects, a project's page, and its charges."""

from typing import Any

from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.generic import ListView, TemplateView, View

from backups_portal.billing.presenting import as_csv, chart
from backups_portal.billing.services import current_quote
from backups_portal.billing.statement import statement
from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin
from backups_portal.projects.models import Invitation, Membership


def with_overview(memberships: QuerySet[Membership]) -> QuerySet[Membership]:
    """Memberships with what an overview says of their projects, in one query.

    Adds `last_backup` (when the newest good snapshot was taken, or None), and loads the
    main database and the restore that made the project.
    """
    last_backup = Max(
        "project__snapshots__taken_at",
        filter=Q(
            project__snapshots__state="completed",
            project__snapshots__verdict__in=["unproven", "passed"],
        ),
    )
    return (
        memberships.annotate(last_backup=last_backup)
        .select_related("project__main_database", "project__restored_by__snapshot__project")
        .defer("project__restored_by__report", "project__restored_by__snapshot__table_rows")
    )


class ProjectListView(ListView):
    """The projects that the account is a member of."""

    template_name = "projects/project_list.html"
    context_object_name = "memberships"
    paginate_by = 24
    http_method_names = ["get", "head", "options"]

    def get_queryset(self) -> QuerySet[Membership]:
        memberships = Membership.objects.filter(account=self.request.user.pk)
        return with_overview(memberships).order_by("project__name", "project_id")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        invitations = Invitation.objects.filter(account=self.request.user.pk)
        return super().get_context_data(
            invitations=invitations.select_related("project", "invited_by").order_by("created_at"),
            **kwargs,
        )


class ProjectView(ProjectPermissionMixin, TemplateView):
    """A project at a glance; what concerns backups and money is for its owners."""

    template_name = "projects/project.html"
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if context["is_owner"]:
            memberships = Membership.objects.filter(pk=self.membership.pk)
            context["overview"] = with_overview(memberships).get()
            context["statement"] = statement(self.project.pk, timezone.now())
            context["quote"] = current_quote()
        return context


class ChargesView(ProjectPermissionMixin, TemplateView):
    """What a project has cost, line by line and month by month."""

    template_name = "billing/charges.html"
    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        result = statement(self.project.pk, timezone.now())
        return super().get_context_data(statement=result, chart=chart(result.months), **kwargs)


class ChargesCsvView(ProjectPermissionMixin, View):
    """The months of each charge as CSV."""

    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = HttpResponse(
            as_csv(self.project.pk, timezone.now()), content_type="text/csv; charset=utf-8"
        )
        name = f"charges-{self.project.slug}.csv"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

"""The list of projects, a project's page, and its charges."""

from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.paginator import Paginator
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.generic import TemplateView, View

from backups_portal.accounts.security_views import account_of
from backups_portal.billing.presenting import as_csv, chart
from backups_portal.billing.services import current_quote
from backups_portal.billing.statement import (
    joint_statement,
    statement,
    this_month_by_project,
)
from backups_portal.lib.compiled import compiled
from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin
from backups_portal.projects.models import Invitation, Membership, Project
from backups_portal.projects.restoring import restores_under_way
from backups_portal.ui.paging import PagedView

OWNER = Membership.Role.OWNER
ON_A_PAGE = 25


def with_overview(memberships: QuerySet[Membership]) -> QuerySet[Membership]:
    """Memberships with what an overview says of their projects, in one query.

    Adds `last_backup` (when the newest good snapshot was taken), `restored_from` (the project whose
    backup it was made of) and `backup_taken_at`, each or None; loads the main database.
    """
    # By its name, as of an app that this one may not know.
    snapshots = apps.get_model("snapshots", "Snapshot")._default_manager
    good = snapshots.filter(
        project=OuterRef("project_id"), state="completed", verdict__in=["unproven", "passed"]
    )
    # The newest through the index, and not the greatest of all.
    newest = good.order_by("-taken_at").values("taken_at")[:1]
    return memberships.annotate(
        last_backup=Subquery(newest),
        restored_from=F("project__restored_by__snapshot__project__name"),
        backup_taken_at=F("project__restored_by__snapshot__taken_at"),
    ).select_related("project__main_database")


@compiled
def _memberships(account_id: int) -> QuerySet[Membership]:
    memberships = with_overview(Membership.objects.filter(account_id=account_id))
    return memberships.order_by("project__name", "project_id")


@compiled
def _membership(pk: int) -> QuerySet[Membership]:
    return with_overview(Membership.objects.filter(pk=pk))


@compiled
def _invitations(account_id: int) -> QuerySet[Invitation]:
    invitations = Invitation.objects.filter(account_id=account_id)
    return invitations.select_related("project", "invited_by").order_by("created_at")


class ProjectListView(PagedView):
    """The projects that the account is a member of."""

    template_name = "projects/project_list.html"
    context_object_name = "memberships"
    paginate_by = 12
    http_method_names = ["get", "head", "options"]

    def get_queryset(self) -> Any:
        return _memberships(account_of(self.request).pk)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        owned = [one.project_id for one in context["memberships"] if one.role == OWNER]
        return {
            **context,
            "restores": restores_under_way(owned),
            "is_an_owner": bool(owned),
            "invitations": list(_invitations(account_of(self.request).pk)),
        }


class ProjectView(ProjectPermissionMixin, TemplateView):
    """A project at a glance; what concerns backups and money is for its owners."""

    template_name = "projects/project.html"
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if context["is_owner"]:
            context["overview"] = _membership(self.membership.pk).first()
            context["statement"] = statement(self.project.pk, timezone.now())
            context["quote"] = current_quote()
            context["restores"] = restores_under_way([self.project.pk])[self.project.pk]
        return context


class ChargesView(ProjectPermissionMixin, TemplateView):
    """What a project has cost, line by line and month by month."""

    template_name = "billing/charges.html"
    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        result = statement(self.project.pk, now)
        return super().get_context_data(
            statement=result, chart=chart(result.months), now=now, **kwargs
        )


class AllChargesView(TemplateView):
    """What the projects that the account owns have cost together."""

    template_name = "billing/all_charges.html"
    http_method_names = ["get", "head"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        projects = list(_owned(self.request.user.pk or 0))
        result = joint_statement([project.pk for project in projects], now)
        months = this_month_by_project(result.lines, now)
        page = Paginator(projects, ON_A_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(
            statement=result,
            chart=chart(result.months),
            page_obj=page,
            rows=[(project, months.get(project.pk, [])) for project in page],
            now=now,
            **kwargs,
        )


@compiled
def _owned(account_id: int) -> QuerySet[Project]:
    owned = Project.objects.filter(memberships__account_id=account_id, memberships__role=OWNER)
    return owned.order_by("name", "id").only("id", "name", "slug")


class ChargesCsvView(ProjectPermissionMixin, View):
    """The months of each charge as CSV."""

    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _csv_of([self.project.pk], f"charges-{self.project.slug}.csv")


class AllChargesCsvView(View):
    """The same of all projects that the account owns."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        projects = _owned(account_of(request).pk)
        return _csv_of([project.pk for project in projects], "charges.csv")


def _csv_of(project_ids: list[UUID], name: str) -> HttpResponse:
    lines = as_csv(project_ids, timezone.now())
    response = HttpResponse(lines, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response

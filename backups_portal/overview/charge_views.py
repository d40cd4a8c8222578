"""The pages of charges, for one project and for all that an account owns."""

from collections.abc import Callable, Sequence
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.generic import TemplateView

from backups_portal.accounts.models import Account
from backups_portal.accounts.security_views import account_of
from backups_portal.billing.charges_export import as_csv, months_chart
from backups_portal.billing.models import Charge
from backups_portal.billing.statement import (
    joint_statement,
    statement,
    this_month_by_project,
)
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.projects.redaction import hide, reader_of
from backups_portal.ui.streamed_export import ExportedFileView
from restores.shown_restores import origins_of

OWNER = Membership.Role.OWNER
ON_A_PAGE = 25


class ChargesView(ProjectPermissionMixin, TemplateView):
    """A project's charges, line by line and month by month."""

    template_name = "billing/charges.html"
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        now = timezone.now()
        result = statement(self.project.pk, now)
        reason_of = reasons_for(self.account, [self.project.pk])
        for line in result.lines:
            line.charge.reason = reason_of(line.charge)
        return super().get_context_data(
            statement=result, by_month=months_chart(result.months), now=now, **kwargs
        )


class AllChargesView(TemplateView):
    """The joint charges of all projects that the account owns."""

    template_name = "billing/all_charges.html"
    http_method_names = ["get", "head"]

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        now = timezone.now()
        projects = list(_owned(account_of(self.request)))
        result = joint_statement([project.pk for project in projects], now)
        months = this_month_by_project(result.lines, now)
        page = Paginator(projects, ON_A_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(
            statement=result,
            by_month=months_chart(result.months),
            page_obj=page,
            rows=[(project, months.get(project.pk, [])) for project in page],
            now=now,
            **kwargs,
        )


def _owned(account: Account) -> QuerySet[Project]:
    owned = Project.objects.filter(memberships__account=account, memberships__role=OWNER)
    return owned.order_by("name", "id").only("id", "name", "slug")


class ChargesCsvView(ProjectPermissionMixin, ExportedFileView):
    """A project's charges by month, as CSV."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        return _csv_of(self.account, [self.project.pk], f"charges-{self.project.slug}.csv")


class AllChargesCsvView(ExportedFileView):
    """The charges of all projects that the account owns, as CSV."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        account = account_of(request)
        return _csv_of(account, [project.pk for project in _owned(account)], "charges.csv")


def reasons_for(account: Account, project_ids: Sequence[UUID]) -> Callable[[Charge], str]:
    """Return a function that redacts a charge's reason for the account."""
    origins = origins_of(project_ids)
    reader = reader_of(account, [origin.project_id for origin in origins.values()])

    def reason_of(charge: Charge) -> str:
        origin = origins.get(charge.project_id)
        return hide(charge.reason, [origin] if origin else [], [reader])

    return reason_of


def _csv_of(account: Account, project_ids: list[UUID], name: str) -> HttpResponse:
    lines = as_csv(project_ids, timezone.now(), reason_of=reasons_for(account, project_ids))
    response = HttpResponse(lines, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response

"""The list of projects, and a project's page."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.views.generic import TemplateView

from backups_portal.accounts.security_views import account_of
from backups_portal.audit.audit_log import events_of, in_words, subject_in_words
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.billing.statement import statement
from backups_portal.objectives.standings import standings_of
from backups_portal.overview.attention import attention_of
from backups_portal.overview.event_redaction import events_for
from backups_portal.overview.project_overview import hide_origins, with_overview
from backups_portal.projects.access import Permission
from backups_portal.projects.models import Invitation, Membership
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui import moments
from backups_portal.ui.pagination import PagedView
from restores.backup_list import describe, listed
from restores.backups_views import WHILE_AWAITED, WHILE_QUIET
from restores.shown_restores import restores_under_way
from snapshots.models import Snapshot
from snapshots.reports.recovery_readiness import readiness_of

# The Backups and Activity pages list more.
LATEST_BACKUPS = 3
LATEST_EVENTS = 6
# Anybody can cause these at will; only the Activity page lists them.
REFUSALS = ("access.refused", "token.refused")


def _refresh_seconds(is_restoring: bool) -> int:
    return WHILE_AWAITED if is_restoring else WHILE_QUIET


class ProjectListView(PagedView):
    """The projects that the account is a member of."""

    template_name = "projects/project_list.html"
    context_object_name = "memberships"
    paginate_by = 12
    http_method_names = ["get", "head", "options"]

    def get_queryset(self) -> QuerySet[Membership]:
        memberships = Membership.objects.filter(account=account_of(self.request))
        return with_overview(memberships).order_by("project__name", "project_id")

    def get_context_data(self, **kwargs: Any) -> dict[str, object]:
        context, account = super().get_context_data(**kwargs), account_of(self.request)
        hide_origins(account, context["memberships"])
        invitations = Invitation.objects.valid().filter(email=account.email.lower())
        owner = Membership.Role.OWNER
        owned = [one.project_id for one in context["memberships"] if one.role == owner]
        restores = restores_under_way(owned, account)
        return {
            **context,
            "restores": restores,
            "refresh_seconds": _refresh_seconds(any(restores.values())),
            "is_an_owner": bool(owned),
            "invitations": list(
                invitations.select_related("project", "invited_by").order_by("created_at")
            ),
        }


class ProjectView(ProjectPermissionMixin, TemplateView):
    """A project's overview; only owners see backups and costs."""

    permission = Permission.VIEW_PROJECT
    template_name = "projects/project.html"
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        context = super().get_context_data(**kwargs)
        if not context["is_owner"]:
            return context
        now = timezone.now()
        return {
            **context,
            **self._origin(),
            **self._backups(now),
            "statement": statement(self.project.pk, now),
            "quote": current_quote(),
        }

    def _origin(self) -> dict[str, object]:
        """Return the project's origin and its latest events, without refusals."""
        overview = with_overview(Membership.objects.filter(pk=self.membership.pk)).first()
        hide_origins(self.account, [overview] if overview else [])
        happened = events_of(self.project.pk).exclude(action__in=REFUSALS)
        events = events_for(self.account, happened[:LATEST_EVENTS])
        return {
            "overview": overview,
            "events": [
                (event, in_words(event.action), subject_in_words(event.subject, moments.day))
                for event in events
            ],
        }

    def _backups(self, now: datetime) -> dict[str, object]:
        """Describe the latest backups, as the Backups page does, and their use."""
        project, account = self.project, self.account
        newest = Snapshot.objects.filter(project=project).newest_good()
        rows = describe(
            list(listed(project)[:LATEST_BACKUPS]),
            newest=newest,
            project=project,
            now=now,
            reader=account,
        )
        readiness = readiness_of(project, now)
        restores = restores_under_way([project.pk], account)[project.pk]
        return {
            "now": now,
            "rows": rows,
            "newest": newest,
            "readiness": readiness,
            "database": project.main_database,
            "attention": attention_of(rows, readiness, standings_of(project, now)),
            "restores": restores,
            "refresh_seconds": _refresh_seconds(bool(restores)),
        }

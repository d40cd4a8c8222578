"""Mixins that make a view check permissions through the access module."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.generic import View
from django.views.generic.base import ContextMixin

from backups_portal.accounts.models import Account
from backups_portal.accounts.security_views import account_of
from backups_portal.audit.recorder import record
from backups_portal.lib.limits import Limit
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.access import Permission, get_membership
from backups_portal.projects.models import Membership, Project

log = get_logger(__name__)

# How many refusals of an account are recorded per hour and project; projects that do not exist
# count as one.
REFUSED = Limit("access-refused", 20, 60 * 60)


def record_refusal(
    request: HttpRequest, account: Account, project: Project | None, **details: object
) -> None:
    """Record that an account was refused access to a project.

    The log has every refusal; the audit log has a limited number per account and project, so that
    endless attempts cannot fill it.
    """
    log.warning("refused %s %s", request.method, request.path, account=account.pk)
    if REFUSED.take(f"{account.pk} {project.pk if project else ''}"):
        return
    record(
        action="access.refused",
        actor=account,
        project=project,
        subject=f"{request.method} {request.path}",
        details=details,
    )


class ProjectPermissionMixin(ContextMixin, View):
    """Admits only members with `permission`.

    Sets `account`, `membership` and `project` before the view runs. The template gets
    `project`, `role`, `is_owner` and `zone`, the time zone of the project's moments. A refusal is
    logged and audited.
    """

    # For owners only, unless a view says otherwise.
    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head"]
    account: Account
    membership: Membership
    project: Project

    def project_slug(self) -> str:
        """Return the slug of the request's project; may raise Http404."""
        return self.kwargs["slug"]

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        self.account = account_of(request)
        slug = self.project_slug()
        try:
            self.membership = get_membership(self.account, slug, self.permission)
        except (Http404, PermissionDenied):
            record_refusal(request, self.account, Project.objects.filter(slug=slug).first())
            raise
        self.project = self.membership.project
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: object) -> dict[str, Any]:
        return super().get_context_data(
            project=self.project,
            role=self.membership.get_role_display(),
            is_owner=self.membership.role == Membership.Role.OWNER,
            zone=self.project.main_database.backup_time_zone,
            **kwargs,
        )

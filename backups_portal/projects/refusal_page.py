"""The page that explains why access is refused."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backups_portal.accounts.models import Account
from backups_portal.projects.access import MemberRefusedError, RightLostError
from backups_portal.projects.permission_mixins import record_refusal


def refused(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """Explain why access is refused; link a member back to the project.

    ProjectPermissionMixin records its own refusals; this records rights that were lost later.
    """
    if isinstance(exception, RightLostError) and isinstance(request.user, Account):
        record_refusal(request, request.user, exception.project)
    project = exception.project if isinstance(exception, MemberRefusedError) else None
    return render(
        request, "403.html", {"exception": str(exception), "member_of": project}, status=403
    )

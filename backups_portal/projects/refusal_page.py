"""The page of a refusal."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backups_portal.accounts.models import Account
from backups_portal.projects.access import MemberRefusedError, RightLostError
from backups_portal.projects.permission_mixins import record_refusal


def refused(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """Tell why access is refused; link a member back to the project.

    A view's permission records its refusal itself; a right that was lost after it is recorded here.
    """
    if isinstance(exception, RightLostError) and isinstance(request.user, Account):
        record_refusal(request, request.user, exception.project)
    project = exception.project if isinstance(exception, MemberRefusedError) else None
    return render(
        request, "403.html", {"exception": str(exception), "member_of": project}, status=403
    )

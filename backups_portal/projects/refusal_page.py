"""The page of a refusal."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backups_portal.projects.access import MemberRefusedError


def refused(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """Tell why access is refused; link a member back to the project."""
    project = exception.project if isinstance(exception, MemberRefusedError) else None
    return render(
        request, "403.html", {"exception": str(exception), "member_of": project}, status=403
    )

"""The page of a refusal."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backups_portal.projects.access import MemberRefusedError


def refused(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """Why it is not open, and for a member the way back to the project."""
    project = exception.project if isinstance(exception, MemberRefusedError) else None
    return render(
        request, "403.html", {"exception": str(exception), "member_of": project}, status=403
    )

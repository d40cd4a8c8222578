"""Render the API reference, at the API's address and in the portal."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.generic import TemplateView

from backups_portal.projects.access import Permission
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.tagoio_api.api import api
from backups_portal.ui.openapi_pages import groups_of

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'"
)


# This is the only page of this origin, so no middleware compresses it.
@gzip_page
def reference(request: HttpRequest) -> HttpResponse:
    """Show every route by kind."""
    context = {
        "groups": groups_of(api, root=""),
        "origin": request.build_absolute_uri("/").rstrip("/"),
        "portal_url": settings.PORTAL_URL,
    }
    response = render(request, "tagoio_api/reference.html", context)
    response["Content-Security-Policy"] = POLICY
    return response


class ProjectReferenceView(ProjectPermissionMixin, TemplateView):
    """The same reference as a tab of a project's API page."""

    permission = Permission.MANAGE_API
    template_name = "tagoio_api/project_reference.html"

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(
            groups=groups_of(api, root=""), origin=settings.API_URL, **kwargs
        )

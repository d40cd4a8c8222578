"""URLs of the portal's API."""

from django.urls import path, re_path

from backups_portal.portal_api.api import api
from backups_portal.portal_api.preconditions import query_parameters
from backups_portal.portal_api.reference_page import reference
from backups_portal.portal_api.view_wrapper import nothing_here, wrap_view

_patterns, _app, _namespace = api.urls

_described = query_parameters(api)

api_patterns = [
    *(wrap_view(pattern, _described) for pattern in _patterns),
    # Any other path, even one with line breaks, gets its 404 as JSON.
    wrap_view(re_path("", nothing_here, name="nothing-here"), {}),
]

urlpatterns = [
    path("docs", reference, name="portal-api-docs"),
    path("", (api_patterns, _app, _namespace)),
]

"""Addresses of the portal's own API."""

from django.urls import path, re_path

from backups_portal.automation.door import nothing_here, through_the_door
from backups_portal.automation.main import api
from backups_portal.automation.reference import reference

_patterns, _app, _namespace = api.urls

api_patterns = [
    *(through_the_door(pattern) for pattern in _patterns),
    # Whatever else is asked for, is answered as a program expects it.
    through_the_door(re_path(r"^(?P<path>.*)$", nothing_here, name="nothing-here")),
]

urlpatterns = [
    path("docs", reference, name="portal-api-docs"),
    path("", (api_patterns, _app, _namespace)),
]

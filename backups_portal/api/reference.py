"""The page that describes the API to people, out of its OpenAPI description."""

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backups_portal.api.main import api
from backups_portal.ui.reference import Group, groups_of

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'"
)


def reference(request: HttpRequest) -> HttpResponse:
    """Every route that is there, by kind."""
    context = {"groups": groups(), "url": request.build_absolute_uri("/").rstrip("/")}
    response = render(request, "api/reference.html", context)
    response["Content-Security-Policy"] = POLICY
    return response


@cache
def groups() -> list[Group]:
    """The operations of the description, by their tags."""
    return groups_of(api.get_openapi_schema())

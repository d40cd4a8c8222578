"""List every address of the API's origin."""

import sys

from django.http import HttpRequest, HttpResponse
from django.urls import path

from backups_portal.lib.database_outage import is_outage
from backups_portal.lib.health import health_paths, servers
from backups_portal.lib.metric_families import exposition_of, up
from backups_portal.tagoio_api.api import api
from backups_portal.tagoio_api.envelope import failure, outage
from backups_portal.tagoio_api.reference_page import reference
from backups_portal.ui.favicon import favicon

urlpatterns = [
    # Only whether the API is up; the portal's /metrics has all other figures.
    *health_paths(servers, lambda: exposition_of([up(servers())])),
    path("favicon.ico", favicon),
    path("docs", reference),
    path("", api.urls),
]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django itself rejects, such as an invalid Host header."""
    return failure("The request cannot be read")


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer that no route matches."""
    return failure("Route not found", 404)


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer to an outage, or to a defect, which is logged."""
    # Django calls this inside its exception handler, so the exception is still set.
    if is_outage(sys.exception()):
        return outage(sys.exception())
    return failure("Something went wrong on our side. It was logged.", 500)

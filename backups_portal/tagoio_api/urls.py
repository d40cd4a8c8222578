"""List every address of the API's origin."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from backups_portal.tagoio_api.api import api
from backups_portal.tagoio_api.envelope import failure
from backups_portal.tagoio_api.reference_page import reference
from backups_portal.ui.favicon import favicon


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer, to show that this process is alive."""
    return HttpResponse("ok", content_type="text/plain")


urlpatterns = [
    path("healthz", healthz),
    path("favicon.ico", favicon),
    path("docs", reference),
    path("", api.urls),
]


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer that no route has this address."""
    return failure("Route not found", 404)


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer to a defect; the log says which one."""
    return failure("Something went wrong on our side. It was logged.", 500)

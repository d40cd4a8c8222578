"""Every address of the API's origin."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from backups_portal.api.envelope import failure
from backups_portal.api.main import api
from backups_portal.api.reference import reference


def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers: restart it if it does not."""
    return HttpResponse("ok", content_type="text/plain")


urlpatterns = [path("healthz", healthz), path("docs", reference), path("", api.urls)]


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """No route has this address."""
    return failure("Route not found", 404)


def handler500(request: HttpRequest) -> HttpResponse:
    """A defect; what it was is in the log."""
    return failure("Something went wrong here. It was written down.", 500)

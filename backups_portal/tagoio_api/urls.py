"""List every address of the API's origin."""

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from backups_portal.lib import health
from backups_portal.lib.database_outage import is_outage
from backups_portal.lib.metric_families import exposition_of, up
from backups_portal.tagoio_api.api import api
from backups_portal.tagoio_api.envelope import failure, outage
from backups_portal.tagoio_api.reference_page import reference
from backups_portal.ui.favicon import favicon


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that this process lives."""
    return health.alive()


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if what the API itself needs works, else 503 and which part."""
    return health.readiness(health.servers())


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Say the same to Prometheus; the portal's own address has all other figures."""
    if not health.may_read_metrics(request):
        return health.no_metrics()
    return HttpResponse(exposition_of([up(health.servers())]), content_type=CONTENT_TYPE_LATEST)


urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("favicon.ico", favicon),
    path("docs", reference),
    path("", api.urls),
]


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer that no route has this address."""
    return failure("Route not found", 404)


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer to a defect, which the log names, or to an outage."""
    # Django calls this while it handles the exception.
    if is_outage(sys.exception()):
        return outage(sys.exception())
    return failure("Something went wrong on our side. It was logged.", 500)

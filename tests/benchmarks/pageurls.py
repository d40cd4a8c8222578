"""The portal's addresses, and what its pages are measured against: an empty one behind sign-in."""

from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path

from backups_portal.urls import urlpatterns as pages

NOTHING = engines["jinja2"].from_string("")


def empty(request: HttpRequest) -> HttpResponse:
    """A page with nothing on it; who asks must be signed in."""
    # The account is read as every page reads it.
    return HttpResponse(NOTHING.render({"email": request.user.pk}, request))


urlpatterns = [path("empty/", empty), *pages]

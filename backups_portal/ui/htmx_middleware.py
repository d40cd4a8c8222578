"""Live parts of pages whose requests are redirected or no longer allowed."""

from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase, HttpResponseRedirectBase
from django.shortcuts import resolve_url
from django.utils.deprecation import MiddlewareMixin
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

GONE = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)


class LivePartRequest(HttpRequest):
    """A request after HtmxMiddleware."""

    htmx: HtmxDetails


class LivePartsMiddleware(MiddlewareMixin):
    """Redirects or reloads the whole page if its live part cannot continue.

    Browsers follow redirects before scripts see them, and would show the sign-in page inside
    another; and a refused part would retry every second. Must come after HtmxMiddleware.
    """

    def process_response(
        self, request: LivePartRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if not request.htmx:
            return response
        if isinstance(response, HttpResponseRedirectBase):
            return HttpResponseClientRedirect(_target(request, response))
        if response.status_code in GONE:
            # The reloaded page explains why, and stops polling.
            response.headers["HX-Refresh"] = "true"
        return response


def _target(request: LivePartRequest, response: HttpResponseRedirectBase) -> str:
    """Return the page's redirect; a sign-in leads back to the whole page."""
    if response.url.partition("?")[0] != resolve_url(settings.LOGIN_URL):
        return response.url
    return redirect_to_login(request.htmx.current_url_abs_path or "/").url

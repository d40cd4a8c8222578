"""Live parts of pages that ask for what they may not see any more."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase, HttpResponseRedirectBase
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

GONE = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)


class LivePartRequest(HttpRequest):
    """A request, as HtmxMiddleware leaves it."""

    htmx: HtmxDetails


class LivePartsMiddleware:
    """Lets the whole page follow where its live part cannot go on.

    A browser follows redirections before any script sees them, and would show the sign-in page
    in the middle of another; and a part that is refused would ask again every second. Stands
    behind HtmxMiddleware.
    """

    def __init__(self, get_response: Callable[[LivePartRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: LivePartRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if not request.htmx:
            return response
        if isinstance(response, HttpResponseRedirectBase):
            return HttpResponseClientRedirect(_target(request, response))
        if response.status_code in GONE:
            # The page itself says why, and asks no more.
            response.headers["HX-Refresh"] = "true"
        return response


def _target(request: LivePartRequest, response: HttpResponseRedirectBase) -> str:
    """Tell where the page goes; from the sign-in back to the page, not to its part."""
    if response.url.partition("?")[0] != resolve_url(settings.LOGIN_URL):
        return response.url
    return redirect_to_login(request.htmx.current_url_abs_path or "/").url

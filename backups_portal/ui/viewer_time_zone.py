"""The time zone of a page's viewer, which the browser sends in a cookie."""

from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from backups_portal.lib.timezones import is_zone

COOKIE = "zone"

_viewer: ContextVar[str | None] = ContextVar("viewers_zone", default=None)


def viewers_zone() -> str | None:
    """Return the IANA name of the viewer's zone; None if unknown."""
    return _viewer.get()


class ViewersZoneMiddleware:
    """Lets pages show moments in the viewer's zone; without the cookie, in the project's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.COOKIES.get(COOKIE, "")
        token = _viewer.set(given if is_zone(given) else None)
        try:
            return self._get_response(request)
        finally:
            _viewer.reset(token)

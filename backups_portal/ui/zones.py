"""The time zone of whoever looks at a page, as their browser has told in a cookie."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.http.response import HttpResponseBase

COOKIE = "zone"
# The longest name of a zone has 32 characters.
LONGEST = 64

_viewer: ContextVar[str | None] = ContextVar("viewers_zone", default=None)


def viewers_zone() -> str | None:
    """The IANA name of the viewer's zone; None where it is not known."""
    return _viewer.get()


class ViewersZoneMiddleware:
    """Lets pages show moments on the viewer's clocks; without the cookie, on the project's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.COOKIES.get(COOKIE, "")
        token = _viewer.set(given if given and is_zone(given) else None)
        try:
            return self._get_response(request)
        finally:
            _viewer.reset(token)


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Whether there is a zone of this name, which may be anything that a visitor has sent."""
    if len(name) > LONGEST:
        return False
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True

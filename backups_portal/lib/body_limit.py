"""The size limit of request bodies, so that anonymous visitors cannot fill memory or disks.

Checking the CSRF token reads the whole body, so this middleware must come before it.
"""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

# For forms, the largest of which has some hundred bytes.
MAX_BYTES = 1_000_000


class BodyLimitMiddleware(MiddlewareMixin):
    """Refuses large bodies unread. A view class may raise the limit by `max_body_bytes`."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., object], *_: object
    ) -> HttpResponse | None:
        match = request.resolver_match
        if match and match.namespace in settings.NAMESPACES_WITH_OWN_BODY_LIMIT:
            return None
        # The size of a chunked body is unknown until it has been read.
        if "HTTP_TRANSFER_ENCODING" in request.META:
            return _refuse(request, MAX_BYTES, HTTPStatus.LENGTH_REQUIRED)
        most = _most(request, view)
        if int(request.META.get("CONTENT_LENGTH") or 0) > most:
            return _refuse(request, most, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return None


def _most(request: HttpRequest, view: Callable[..., object]) -> int:
    more = getattr(getattr(view, "view_class", None), "max_body_bytes", 0)
    return more if more and request.user.is_authenticated else MAX_BYTES


def _refuse(request: HttpRequest, most: int, status: HTTPStatus) -> HttpResponse:
    context = {"megabytes": most // 1_000_000, "status": status.value}
    return render(request, "413.html", context, status=status)

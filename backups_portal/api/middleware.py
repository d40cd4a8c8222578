"""What every request passes: one form of address, browsers of other origins, one form of error."""

import re
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from backups_portal.api.envelope import JSON, failure
from backups_portal.api.identity import release
from backups_portal.api.portal import leave_if_ended

SLASHES = re.compile("/{2,}")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "token, Profile-Token, Account-Token, Device-Token, "
    "Analysis-Token, Authorization, Content-Type, Pragma, Cache-Control",
    "Access-Control-Max-Age": "86400",
}
# The bodies that Django itself makes are pages.
MESSAGES = {
    HTTPStatus.NOT_FOUND: "Route not found",
    HTTPStatus.METHOD_NOT_ALLOWED: "Route not found",
    HTTPStatus.BAD_REQUEST: "The request cannot be read",
}


class ApiMiddleware:
    """Goes around everything else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Clients append paths to a base that may end in a slash, and some end in one themselves.
        request.path_info = SLASHES.sub("/", request.path_info).rstrip("/") or "/"
        _take_chunks(request)
        if request.method == "OPTIONS":
            response: HttpResponseBase = HttpResponse(b"{}", content_type=JSON)
        elif _body_bytes(request) > settings.API_MAX_BODY_BYTES:
            response = failure(
                f"The body is larger than {settings.API_MAX_BODY_BYTES / 1e6:g} MB",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        else:
            response = self._answer(request)
        for name, value in CORS.items():
            response.headers.setdefault(name, value)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        leave_if_ended()
        try:
            response = self._get_response(request)
        finally:
            release(request)
        if response.status_code >= HTTPStatus.BAD_REQUEST and response["Content-Type"] != JSON:
            status = HTTPStatus(response.status_code)
            return failure(MESSAGES.get(status, status.phrase), status)
        return response


def _take_chunks(request: HttpRequest) -> None:
    """Read a body that comes in chunks, whose length nobody has said; Django would see none."""
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        stream = (
            request.META.get("wsgi.input") if request.META.get("wsgi.input_terminated") else None
        )
        body = stream.read(settings.API_MAX_BODY_BYTES + 1) if stream else b""
        request._body = body
        request.META["CONTENT_LENGTH"] = str(len(body))


def _body_bytes(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0

"""Normalise the paths and errors of all requests, and allow CORS."""

import re
from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from backups_portal.lib.database_outage import DJANGO_ERRORS, DRIVER_ERRORS, is_outage
from backups_portal.tagoio_api.auth.project_token_auth import release
from backups_portal.tagoio_api.envelope import JSON, failure, outage
from backups_portal.tagoio_api.requests.large_bodies import read_large_body
from backups_portal.tagoio_api.streams.event_hub import LATER

SLASHES = re.compile("/{2,}")
EVENTS = "/events"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "token, Profile-Token, Account-Token, Device-Token, "
    "Analysis-Token, Authorization, Content-Type, Pragma, Cache-Control",
    "Access-Control-Max-Age": "86400",
}
# Django's own error bodies are HTML pages; these messages replace them.
MESSAGES = {
    HTTPStatus.NOT_FOUND: "Route not found",
    HTTPStatus.METHOD_NOT_ALLOWED: "Route not found",
    HTTPStatus.BAD_REQUEST: "The request cannot be read",
}


class ApiMiddleware:
    """The middleware that wraps every route of the API."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Clients append paths to a base that may end in a slash, and some paths end in one, too.
        request.path_info = SLASHES.sub("/", request.path_info).rstrip("/") or "/"
        if request.method == "OPTIONS":
            response: HttpResponseBase = HttpResponse(b"{}", content_type=JSON)
        else:
            response = self._answer(request)
        for name, value in CORS.items():
            response.headers.setdefault(name, value)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        found = _with_body(request)
        response = found if isinstance(found, HttpResponse) else self._respond(found)
        if response.status_code >= HTTPStatus.BAD_REQUEST and response["Content-Type"] != JSON:
            status = HTTPStatus(response.status_code)
            allowed = response.get("Allow")
            response = failure(MESSAGES.get(status, status.phrase), status)
            if allowed:
                response["Allow"] = allowed
        return _for_listeners(request, response)

    def _respond(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return self._get_response(request)
        finally:
            release(request)


def _with_body(request: HttpRequest) -> HttpRequest | HttpResponse:
    # This looks up the token outside of Django's exception handling, so it handles outages itself.
    try:
        return read_large_body(request)
    except (*DJANGO_ERRORS, *DRIVER_ERRORS) as error:
        if not is_outage(error):
            raise
        return outage(error)


def _for_listeners(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Turn a temporary error of the stream into a stream that ends at once.

    Browsers and SDKs reconnect then; they treat any status except 200 as final.
    """
    passes = response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.status_code >= 500
    if request.method == "GET" and request.path_info == EVENTS and passes:
        return HttpResponse(LATER, content_type="text/event-stream")
    return response

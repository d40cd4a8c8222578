"""Serve health and metrics ahead of all other middleware.

Load balancers, Kubernetes and Prometheus reach a container by its address over plain HTTP, so these
routes require neither the host name nor TLS, a session or the database.
"""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

URLS = "backups_portal.ops.urls"


class HealthMiddleware:
    """Answer the addresses of `ops.urls`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            found = resolve(request.path_info, URLS)
        except Resolver404:
            return self._get_response(request)
        answer: HttpResponseBase = found.func(request, *found.args, **found.kwargs)
        return answer

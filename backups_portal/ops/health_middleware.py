"""Serve health and metrics ahead of all other middleware.

Load balancers, Kubernetes and Prometheus reach a container by its address over plain HTTP, so these
routes require neither the host name nor TLS, a session or the database.
"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.deprecation import MiddlewareMixin

URLS = "backups_portal.ops.urls"


class HealthMiddleware(MiddlewareMixin):
    """Answer the addresses of `ops.urls`."""

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        try:
            found = resolve(request.path_info, URLS)
        except Resolver404:
            return None
        answer: HttpResponseBase = found.func(request, *found.args, **found.kwargs)
        return answer

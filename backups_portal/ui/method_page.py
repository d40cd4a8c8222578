"""A page for visitors who open an address that only accepts a form."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin


class MethodPageMiddleware(MiddlewareMixin):
    """Replaces the empty 405 answer by a page, as after going back or signing in."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        is_empty = isinstance(response, HttpResponseNotAllowed) and not response.content
        if not is_empty or request.method != "GET":
            return response
        page = render(request, "405.html", status=HTTPStatus.METHOD_NOT_ALLOWED)
        page.headers["Allow"] = response.headers["Allow"]
        return page

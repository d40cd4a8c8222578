"""What every request to the API passes, so that whatever comes of it is JSON."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from backups_portal.audit.services import acting_by
from backups_portal.automation.identity import NO_TOKEN, identify
from backups_portal.automation.problems import ProblemError, problem
from snapshots.schedule import NOT_BY_HAND

ROOT = "/api/v1/"
# Ten times the longest list of devices that anybody has moved.
MAX_BODY_BYTES = 1_000_000
NOTHING = "There is nothing at this address, or it belongs to a project that is not yours."
DEFECT = "Something went wrong here. It was written down; nothing was lost by it."
# Of addresses, by their names, where a method that is missing needs more words.
MISSING = {("list_backups", "POST"): NOT_BY_HAND}

View = Callable[..., HttpResponseBase]


def through_the_door(pattern: URLPattern | URLResolver) -> URLPattern:
    """An address of the API whose view is behind the door; no session and no form's token opens it.

    A session is not even read, so that a page of another site, whose requests carry the cookie of
    whoever is signed in here, can do nothing.
    """
    assert isinstance(pattern, URLPattern)  # noqa: S101 - there are no others
    view = csrf_exempt(login_not_required(_door(pattern.callback, pattern.name or "")))
    return URLPattern(pattern.pattern, view, pattern.default_args, pattern.name)


def _door(view: View, name: str) -> View:
    @wraps(view)
    def enter(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = _answer(view, request, *args, **kwargs)
        except Http404:
            response = problem(HTTPStatus.NOT_FOUND, NOTHING)
        except ProblemError as error:
            response = refusal(error)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response = _not_allowed(request, response, name)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return enter


def _answer(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    _check_body(request)
    caller = identify(request)
    request.caller = caller  # type: ignore[attr-defined]
    with acting_by(caller.means if caller else ""), _as_get(request):
        return view(request, *args, **kwargs)


@contextmanager
def _as_get(request: HttpRequest) -> Iterator[None]:
    """HEAD is GET whose body the web server leaves away."""
    asked = request.method
    if asked == "HEAD":
        request.method = "GET"
    try:
        yield
    finally:
        request.method = asked


def _check_body(request: HttpRequest) -> None:
    """Refuse a body before it is read; one that comes in chunks has no length to look at.

    Raises:
        ProblemError: it is too large, or of an unknown length.
    """
    if "HTTP_TRANSFER_ENCODING" in request.META:
        raise ProblemError(HTTPStatus.LENGTH_REQUIRED, "Send the body with a Content-Length.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isascii() or not length.isdigit() or int(length[:12]) > MAX_BODY_BYTES:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body is larger than {MAX_BODY_BYTES // 1_000_000} MB.",
        )


def refusal(error: ProblemError) -> HttpResponse:
    """The answer that an error stands for."""
    response = problem(error.status, error.detail, **error.more)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="Backups Portal"'
    if "retry_after" in error.more:
        response["Retry-After"] = str(error.more["retry_after"])
    return response


def no_token() -> HttpResponse:
    """The answer to a request without a token."""
    return refusal(ProblemError(HTTPStatus.UNAUTHORIZED, NO_TOKEN))


def _not_allowed(request: HttpRequest, response: HttpResponseBase, name: str) -> HttpResponse:
    methods = {method.strip() for method in response["Allow"].split(",")}
    allowed = sorted(methods | ({"HEAD"} if "GET" in methods else set()))
    detail = MISSING.get((name, request.method or ""), f"This address takes {', '.join(allowed)}.")
    answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, detail)
    answer["Allow"] = ", ".join(allowed)
    return answer


def nothing_here(request: HttpRequest, path: str) -> HttpResponse:
    """No route has this address."""
    raise Http404


def server_error(request: HttpRequest) -> HttpResponse:
    """A defect, in the form that belongs to the address; what it was is in the log."""
    if request.path.startswith(ROOT):
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, DEFECT)
    return defaults.server_error(request)

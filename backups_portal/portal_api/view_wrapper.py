"""A wrapper around every view of the API, so that all answers are JSON."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from http import HTTPStatus

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template import loader
from django.urls import URLPattern, URLResolver
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from backups_portal.audit.recorder import acting_by
from backups_portal.lib.database_outage import RETRY_AFTER_SECONDS, is_outage, server_fault
from backups_portal.portal_api.preconditions import described_path
from backups_portal.portal_api.problem_details import ProblemError, problem
from backups_portal.portal_api.token_auth import Parameters, identify
from backups_portal.projects.due_times import NOT_BY_HAND

ROOT = "/api/v1/"
# Ten times the size of the longest list of devices in any transfer so far.
MAX_BODY_BYTES = 1_000_000
NOTHING = "There is nothing at this address, or it belongs to a project you have no access to."
DEFECT = "Something went wrong on our side. It was logged, and nothing was lost."
DAMAGED = "The address or the headers of this request are not valid. Nothing was changed."
OUTAGE = (
    "The portal's database {words}. Nothing was lost; try again in "
    f"{RETRY_AFTER_SECONDS} seconds."
)
# By route name and method: why it is missing, if that needs an explanation.
MISSING = {("list_backups", "POST"): NOT_BY_HAND}

View = Callable[..., HttpResponseBase]


def wrap_view(pattern: URLPattern | URLResolver, described: Mapping[str, Parameters]) -> URLPattern:
    """Wrap the view of a pattern, exempting it from sessions and CSRF tokens.

    The session is never read, so a page of another site cannot act through the cookie of a visitor
    who is signed in here.

    Args:
        described: The query parameters of each path of the API.
    """
    assert isinstance(pattern, URLPattern)  # noqa: S101 - the API has no resolvers
    known = described.get(described_path(pattern), {})
    view = csrf_exempt(login_not_required(_wrapped(pattern.callback, pattern.name or "", known)))
    return URLPattern(pattern.pattern, view, pattern.default_args, pattern.name)


def _wrapped(view: View, name: str, known: Parameters) -> View:
    @wraps(view)
    def enter(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            response = _answer(partial(view, request, *args, **kwargs), request, known)
        except Http404:
            response = problem(HTTPStatus.NOT_FOUND, NOTHING)
        except ProblemError as error:
            response = refusal(error)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response = _not_allowed(request, response, name)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return enter


def _answer(view: View, request: HttpRequest, known: Parameters) -> HttpResponseBase:
    _check_body(request)
    caller = identify(request)
    request.caller = caller  # type: ignore[attr-defined]
    request.parameters = known  # type: ignore[attr-defined]
    with acting_by(caller.means if caller else ""), _as_get(request):
        return view()


@contextmanager
def _as_get(request: HttpRequest) -> Iterator[None]:
    """Handle HEAD as GET; the web server drops the body."""
    asked = request.method
    if asked == "HEAD":
        request.method = "GET"
    try:
        yield
    finally:
        request.method = asked


def _check_body(request: HttpRequest) -> None:
    """Refuse a body before it is read, by its length.

    Raises:
        ProblemError: it is too large, or of an unknown length.
    """
    if "HTTP_TRANSFER_ENCODING" in request.META:
        raise ProblemError(HTTPStatus.LENGTH_REQUIRED, "Send the body with a Content-Length.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    digits = length.lstrip("0")[:12] or "0"
    if not length.isascii() or not length.isdigit() or int(digits) > MAX_BODY_BYTES:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body is larger than {MAX_BODY_BYTES // 1_000_000} MB.",
        )


def refusal(error: ProblemError) -> HttpResponse:
    """Build the answer of a problem, with its headers."""
    response = problem(error.status, error.detail, **error.more)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="Backups Portal"'
    if "retry_after" in error.more:
        response["Retry-After"] = str(error.more["retry_after"])
    return response


def _not_allowed(request: HttpRequest, response: HttpResponseBase, name: str) -> HttpResponse:
    methods = {method.strip() for method in response["Allow"].split(",")}
    allowed = sorted(methods | ({"HEAD"} if "GET" in methods else set()))
    detail = MISSING.get((name, request.method or ""), f"This address takes {', '.join(allowed)}.")
    answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, detail)
    answer["Allow"] = ", ".join(allowed)
    return answer


def nothing_here(request: HttpRequest) -> HttpResponse:
    """Raise Http404, because no route matches."""
    raise Http404


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django itself rejects, such as a wrong host name."""
    if request.path.startswith(ROOT):
        return problem(HTTPStatus.BAD_REQUEST, DAMAGED)
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a defect or an outage: as JSON for the API, else as a page."""
    # Django calls this inside its exception handler, so the exception is still set.
    error = sys.exception()
    if is_outage(error):
        return _outage(request, server_fault(error) or "is not responding")
    if request.path.startswith(ROOT):
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, DEFECT)
    return defaults.server_error(request)


def _outage(request: HttpRequest, words: str) -> HttpResponse:
    if request.path.startswith(ROOT):
        response = problem(HTTPStatus.SERVICE_UNAVAILABLE, OUTAGE.format(words=words))
    else:
        # Render without the request, because context processors would query the database.
        context = {"seconds": RETRY_AFTER_SECONDS, "words": words}
        page = loader.get_template("503.html").render(context)
        response = HttpResponse(page, status=HTTPStatus.SERVICE_UNAVAILABLE)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    response["Cache-Control"] = "no-store"
    return response

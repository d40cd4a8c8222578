"""Read large bodies of known callers, without holding a connection.

Small bodies are in memory before a thread takes the request. For a large one the thread has to
wait, and would hold one of the few connections to the caller's project meanwhile.
"""

import io
from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent, TooManyFilesSent
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import InputStreamExhausted, MultiPartParserError

from backups_portal.lib.wsgi_bridge import is_gathered
from backups_portal.tagoio_api.auth.project_token_auth import is_known, note_refusal
from backups_portal.tagoio_api.envelope import DENIED, failure

# The only address that takes forms.
FORM_PATH = "/files"
FORM_ERRORS = (MultiPartParserError, InputStreamExhausted, TooManyFieldsSent, TooManyFilesSent)
UNREADABLE_FORM = (
    "The form cannot be read: send it as multipart/form-data, with the boundary that its parts "
    "have, and with one file"
)


def read_large_body(request: HttpRequest) -> HttpRequest | HttpResponse:
    """Read a large body, or a form with its files.

    Returns:
        The request to continue with, or the error response if it cannot be read.
    """
    comes_in_chunks = "HTTP_TRANSFER_ENCODING" in request.META
    if body_bytes(request) > settings.API_MAX_BODY_BYTES:
        return too_large()
    if is_gathered(request.META):
        return request
    if not is_known(request):
        note_refusal(request)
        return failure(DENIED, HTTPStatus.UNAUTHORIZED)
    try:
        if comes_in_chunks:
            request = _with_chunks_read(request)
        elif _takes_form(request):
            request.FILES  # noqa: B018
        else:
            request.body  # noqa: B018
    except FORM_ERRORS:
        return failure(UNREADABLE_FORM)
    except UnreadablePostError:
        return failure("The body did not come in time", HTTPStatus.REQUEST_TIMEOUT)
    return too_large() if body_bytes(request) > settings.API_MAX_BODY_BYTES else request


def _takes_form(request: HttpRequest) -> bool:
    """Tell whether a request uploads a form; all other bodies are JSON."""
    is_form = request.content_type == "multipart/form-data"
    return is_form and request.method == "POST" and request.path_info == FORM_PATH


def _with_chunks_read(request: HttpRequest) -> HttpRequest:
    """Read a body of unknown length, which Django would take for empty."""
    body = request.META["wsgi.input"].read(settings.API_MAX_BODY_BYTES + 1)
    known = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    again = WSGIRequest({**request.META, **known})
    again.path_info = request.path_info
    return again


def body_bytes(request: HttpRequest) -> int:
    """Return the stated Content-Length; 0 if it is missing or invalid."""
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def too_large() -> HttpResponse:
    """Build the answer to a body above the limit."""
    return failure(
        f"The body is larger than {settings.API_MAX_BODY_BYTES / 1e6:g} MB",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )

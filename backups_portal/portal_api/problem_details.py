"""Errors as problem details (RFC 9457), with a sentence for people."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

import orjson
from django.http import HttpResponse

MEDIA_TYPE = "application/problem+json"
# Programs tell errors apart by these codes, in addition to the status.
CODES = {
    HTTPStatus.BAD_REQUEST: "unreadable",
    HTTPStatus.UNAUTHORIZED: "unauthenticated",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.CONFLICT: "conflict",
    HTTPStatus.LENGTH_REQUIRED: "length_required",
    HTTPStatus.PRECONDITION_FAILED: "precondition_failed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid",
    HTTPStatus.TOO_MANY_REQUESTS: "too_many_requests",
    HTTPStatus.INTERNAL_SERVER_ERROR: "defect",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


class ProblemError(Exception):
    """A request that is refused with problem details.

    Attributes:
        detail: A message for people.
        more: Further members, such as `errors` or `preview`; `code` replaces that of the status.
    """

    def __init__(self, status: HTTPStatus, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = more

    @classmethod
    def of_fields(cls, detail: str, messages: Mapping[Any, str], **more: object) -> Self:
        """Refuse several invalid values, each with its message."""
        errors = [{"field": str(name), "message": text} for name, text in messages.items()]
        return cls(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors, **more)

    @classmethod
    def of_field(cls, field: str, message: str, **more: object) -> Self:
        """Refuse one invalid member of the body, or header."""
        return cls.of_fields(message, {field: message}, **more)


def problem(status: int, detail: str, **more: object) -> HttpResponse:
    """Build the answer to a failed request."""
    known = HTTPStatus(status)
    body = {
        "type": "about:blank",
        "title": known.phrase,
        "status": int(known),
        "code": CODES.get(known, "refused"),
        "detail": detail,
        **more,
    }
    return HttpResponse(
        orjson.dumps(body, option=orjson.OPT_UTC_Z), content_type=MEDIA_TYPE, status=known
    )

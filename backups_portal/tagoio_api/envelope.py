"""Wrap each answer in the JSON envelope that clients expect.

{"status": true, "result": …} with 200, or {"status": false, "message": "…"} with a status of 400
or more. The SDKs turn the latter into their exceptions and show the message, so it is written for
people. Results are never null and no answer lacks a body, because either breaks a client.
"""

from datetime import UTC, datetime
from http import HTTPStatus

import orjson
from django.http import HttpRequest, HttpResponse
from ninja.renderers import BaseRenderer

from backups_portal.lib.database_outage import DJANGO_ERRORS, RETRY_AFTER_SECONDS, server_fault

JSON = "application/json"
DENIED = "Authorization Denied"
# Pass datetimes to `_default`, which cuts them to milliseconds.
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS


class ApiError(Exception):
    """A request that is refused; clients show the message to their users."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class BusyError(ApiError):
    """There were too many wrong attempts.

    Args:
        seconds: How long to wait; the message rounds it up to minutes.
    """

    def __init__(self, seconds: int) -> None:
        minutes = -(-seconds // 60)
        wait = f"{minutes} minute{'s' * (minutes != 1)}"
        super().__init__(f"Too many attempts. Try again in {wait}.", HTTPStatus.TOO_MANY_REQUESTS)
        self.seconds = seconds


class DeniedError(ApiError):
    """The token may not do this."""

    def __init__(self) -> None:
        super().__init__(DENIED, HTTPStatus.UNAUTHORIZED)


class NotFoundError(ApiError):
    """The caller's project has no such object."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} Not Found", HTTPStatus.NOT_FOUND)


def moment(value: datetime) -> str:
    """Format a time in UTC with milliseconds: `2024-03-01T00:00:10.123Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def as_json(value: object) -> bytes:
    """Serialise a result as JSON."""
    return orjson.dumps(value, default=_default, option=OPTIONS)


def _default(value: object) -> str:
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(f"{type(value).__name__} cannot be a result")


def raw_success(result: bytes) -> HttpResponse:
    """Wrap a result that is already JSON."""
    return HttpResponse(b'{"status":true,"result":%b}' % result, content_type=JSON)


def failure(message: str, status: int = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    """Build the answer for an error."""
    body = as_json({"status": False, "message": message})
    return HttpResponse(body, content_type=JSON, status=status)


def unavailable(message: str) -> HttpResponse:
    """Build the answer for a request that may succeed when retried."""
    response = failure(message, HTTPStatus.SERVICE_UNAVAILABLE)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def outage(error: BaseException | None) -> HttpResponse:
    """Build the answer for an outage of the portal's or project's database."""
    whose = "portal" if isinstance(error, DJANGO_ERRORS) else "project"
    return unavailable(f"The {whose}'s database {server_fault(error) or 'does not answer'}")


class EnvelopeRenderer(BaseRenderer):
    """A renderer that wraps a route's result in the envelope."""

    media_type = JSON

    def render(self, request: HttpRequest, data: object, *, response_status: int) -> bytes:
        return b'{"status":true,"result":%b}' % as_json(data)

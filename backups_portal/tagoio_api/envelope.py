"""Wrap each answer as clients expect it: a result or an error, in JSON.

{"status": true, "result": …} with 200, or {"status": false, "message": "…"} with a status of 400
or more. The SDKs turn the latter into their exceptions and show the message, so it is written for
people. Results are never null, and no answer is without a body: either breaks a client.
"""

from datetime import UTC, datetime
from http import HTTPStatus

import orjson
from django.http import HttpRequest, HttpResponse
from ninja.renderers import BaseRenderer

from backups_portal.lib.database_outage import DJANGO_ERRORS, RETRY_AFTER_SECONDS, server_fault

JSON = "application/json"
DENIED = "Authorization Denied"
# psycopg's datetimes come to `as_json`, which cuts them to milliseconds.
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS


class ApiError(Exception):
    """A request that cannot be answered; the message is what the client's person reads."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class BusyError(ApiError):
    """There were too many wrong tries.

    Args:
        seconds: How long to wait; whole minutes of it are in the message.
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
    """There is no such thing in the caller's project."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} Not Found", HTTPStatus.NOT_FOUND)


def moment(value: datetime) -> str:
    """Write a moment in UTC with milliseconds: `2024-03-01T00:00:10.123Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def as_json(value: object) -> bytes:
    """Write any result as JSON."""
    return orjson.dumps(value, default=_default, option=OPTIONS)


def _default(value: object) -> str:
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(f"{type(value).__name__} cannot be a result")


def raw_success(result: bytes) -> HttpResponse:
    """Wrap a result that is JSON already."""
    return HttpResponse(b'{"status":true,"result":%b}' % result, content_type=JSON)


def failure(message: str, status: int = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    """Make the answer for an error."""
    body = as_json({"status": False, "message": message})
    return HttpResponse(body, content_type=JSON, status=status)


def unavailable(message: str) -> HttpResponse:
    """Make the answer for what may work when it is tried again."""
    response = failure(message, HTTPStatus.SERVICE_UNAVAILABLE)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def outage(error: BaseException | None) -> HttpResponse:
    """Make the answer for an outage of a database, the portal's or the project's."""
    whose = "portal" if isinstance(error, DJANGO_ERRORS) else "project"
    return unavailable(f"The {whose}'s database {server_fault(error) or 'does not answer'}")


class EnvelopeRenderer(BaseRenderer):
    """Puts what a route returns into the envelope."""

    media_type = JSON

    def render(self, request: HttpRequest, data: object, *, response_status: int) -> bytes:
        return b'{"status":true,"result":%b}' % as_json(data)

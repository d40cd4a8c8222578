"""The API: its routes in the order in which they are tried, and what becomes of exceptions."""

import logging
from http import HTTPStatus

import psycopg
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from backups_portal.api.bodies import BodyParser
from backups_portal.api.envelope import ApiError, BusyError, EnvelopeRenderer, failure
from backups_portal.api.identity import note_refusal
from backups_portal.api.pools import PoolBusyError
from backups_portal.api.routes import (
    chunks,
    conversion,
    csvfiles,
    data,
    devices,
    devicetokens,
    general,
    parameters,
)
from backups_portal.api.routes.registry import ROUTERS

log = logging.getLogger(__name__)

api = NinjaAPI(
    title="Projects' API",
    version="1.0.0",
    description="The API of a project. Its token says which one.",
    docs_url=None,
    openapi_url="/openapi.json",
    renderer=EnvelopeRenderer(),
    parser=BodyParser(),
    urls_namespace="api",
)
# Fixed paths come before those with an id in the same place.
DEVICES = (parameters, devicetokens, data, csvfiles, chunks, conversion, devices)
for router in (general.router, *(routes.router for routes in DEVICES), *ROUTERS):
    api.add_router("", router)


@api.exception_handler(ApiError)
def refused(request: HttpRequest, error: ApiError) -> HttpResponse:
    """The request is wrong, and says why."""
    return failure(error.message, error.status)


@api.exception_handler(BusyError)
def busy(request: HttpRequest, error: BusyError) -> HttpResponse:
    """Somebody guesses; `Retry-After` says to the second for how long to wait."""
    response = refused(request, error)
    response["Retry-After"] = str(error.seconds)
    return response


@api.exception_handler(HttpError)
def unreadable(request: HttpRequest, error: HttpError) -> HttpResponse:
    """A body that the parser refused, whose reason is behind the exception."""
    cause = error.__cause__
    return refused(request, cause) if isinstance(cause, ApiError) else failure(error.message)


@api.exception_handler(AuthenticationError)
def denied(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """No token, an unknown or expired one, or one that may not do this."""
    note_refusal(request)
    return failure("Authorization Denied", HTTPStatus.UNAUTHORIZED)


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """The first thing that is wrong with the body, by its name."""
    first = error.errors[0]
    place = ".".join(str(part) for part in first["loc"][2:])
    return failure(f"{place}: {first['msg']}" if place else str(first["msg"]))


@api.exception_handler(psycopg.DataError)
def unstorable(request: HttpRequest, error: psycopg.DataError) -> HttpResponse:
    """A value that passed every check and that PostgreSQL cannot store, such as a NUL."""
    log.info("a value was refused: %s", error)
    return failure("A value cannot be stored: it is too large, or holds a NUL character")


@api.exception_handler(psycopg.IntegrityError)
def contradicting(request: HttpRequest, error: psycopg.IntegrityError) -> HttpResponse:
    """A value that passed every check and that a constraint of the database refuses."""
    named = error.diag.column_name or error.diag.constraint_name or "a value"
    log.warning("a constraint refused a request: %s", error)
    return failure(f"{named} is missing, taken already, or names what is not there")


@api.exception_handler(psycopg.OperationalError)
@api.exception_handler(PoolBusyError)
def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """The project's database does not answer, which clients may try again."""
    log.warning("a project's database does not answer: %s", error)
    return failure("The project's database does not answer", HTTPStatus.SERVICE_UNAVAILABLE)


@api.exception_handler(RequestDataTooBig)
def too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    """A body without a length that went on for too long."""
    return failure("The body is too large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

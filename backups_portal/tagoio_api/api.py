"""Assemble the API: routes in matching order, and exception handlers."""

import logging
from http import HTTPStatus

import psycopg
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from backups_portal.lib.database_outage import is_outage, server_fault, statement_limit
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.validation_messages import request_sentence
from backups_portal.projectdb.record_writer import UnknownDeviceError
from backups_portal.projectdb.records import RecordError
from backups_portal.tagoio_api.auth.project_token_auth import note_refusal
from backups_portal.tagoio_api.connection_pools import PoolBusyError
from backups_portal.tagoio_api.data.device_data import UNKNOWN
from backups_portal.tagoio_api.envelope import (
    DENIED,
    ApiError,
    BusyError,
    EnvelopeRenderer,
    failure,
    outage,
    unavailable,
)
from backups_portal.tagoio_api.requests.json_bodies import BodyParser
from backups_portal.tagoio_api.requests.large_bodies import FORM_ERRORS, UNREADABLE_FORM
from backups_portal.tagoio_api.routes.registry import ROUTERS

log = get_logger(__name__)

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
LOCKED = "Another session has locked the project's data. Nothing was changed; try again later"
for router in ROUTERS:
    api.add_router("", router)


@api.exception_handler(ApiError)
def refused(request: HttpRequest, error: ApiError) -> HttpResponse:
    """Answer with the error's own message and status."""
    return failure(error.message, error.status)


@api.exception_handler(BusyError)
def busy(request: HttpRequest, error: BusyError) -> HttpResponse:
    """Answer with `Retry-After`, in seconds, after too many wrong attempts."""
    response = refused(request, error)
    response["Retry-After"] = str(error.seconds)
    return response


@api.exception_handler(HttpError)
def unreadable(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Refuse an unreadable body with the parser's reason."""
    cause = error.__cause__
    return refused(request, cause) if isinstance(cause, ApiError) else failure(error.message)


@api.exception_handler(AuthenticationError)
def denied(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """Refuse a missing, unknown, expired or insufficient token."""
    note_refusal(request)
    return failure(DENIED, HTTPStatus.UNAUTHORIZED)


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Name the first invalid field of the body."""
    return failure(request_sentence(error.errors[0]))


@api.exception_handler(psycopg.IntegrityError)
def contradicting(request: HttpRequest, error: psycopg.IntegrityError) -> HttpResponse:
    """Refuse a value that violates a database constraint."""
    named = error.diag.column_name or error.diag.constraint_name or "a value"
    log.warning("a constraint refused a request: %s", error)
    return failure(f"{named} is missing, already taken, or names something that does not exist")


@api.exception_handler(InterfaceError)
@api.exception_handler(InternalError)
@api.exception_handler(OperationalError)
def portal_away(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer 503 if the portal's own database is down; re-raise anything else."""
    if not is_outage(error):
        raise error
    log.warning("the portal's database has an outage: %s", error)
    return outage(error)


@api.exception_handler(RecordError)
def unreadable_record(request: HttpRequest, error: RecordError) -> HttpResponse:
    """Say why a record cannot be stored."""
    return failure(str(error)[:1].upper() + str(error)[1:])


# Answers to all other exceptions; after a 503, clients may retry.
UNSTORABLE = "A value cannot be stored: it is too large, or holds a NUL character"
UNAVAILABLE = ("The project's database does not answer", HTTPStatus.SERVICE_UNAVAILABLE)
SLOW = "The project's database took too long. Nothing was changed; try again later"
ANSWERS: dict[type[Exception], tuple[str, HTTPStatus]] = {
    UnknownDeviceError: (UNKNOWN, HTTPStatus.NOT_FOUND),
    psycopg.DataError: (UNSTORABLE, HTTPStatus.BAD_REQUEST),
    psycopg.errors.LockNotAvailable: (LOCKED, HTTPStatus.SERVICE_UNAVAILABLE),
    psycopg.errors.DeadlockDetected: (LOCKED, HTTPStatus.SERVICE_UNAVAILABLE),
    psycopg.errors.IdleInTransactionSessionTimeout: UNAVAILABLE,
    psycopg.errors.TransactionTimeout: UNAVAILABLE,
    psycopg.OperationalError: UNAVAILABLE,
    psycopg.InterfaceError: UNAVAILABLE,
    PoolBusyError: UNAVAILABLE,
    # A body without Content-Length that exceeded the limit.
    RequestDataTooBig: ("The body is too large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    **dict.fromkeys(FORM_ERRORS, (UNREADABLE_FORM, HTTPStatus.BAD_REQUEST)),
}


def stopped(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer by the SQLSTATE, else by the closest exception class in ANSWERS."""
    message, status = _answer(request, error)
    # A client's mistake is not worth a warning to the operator.
    level = logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    log.log(level, "a request was stopped: %s: %s", message, error)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return unavailable(message)
    return failure(message, status)


def _answer(request: HttpRequest, error: Exception) -> tuple[str, HTTPStatus]:
    if isinstance(error, psycopg.errors.QueryCanceled) and request.method in ("POST", "PUT"):
        # The size of a request is bounded, so the server was slow rather than the request too big.
        return SLOW, HTTPStatus.SERVICE_UNAVAILABLE
    if fault := server_fault(error):
        return f"The project's database {fault}", HTTPStatus.SERVICE_UNAVAILABLE
    if limit := statement_limit(error):
        return f"The project's database {limit}", HTTPStatus.BAD_REQUEST
    return next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)


for stopping in ANSWERS:
    api.exception_handler(stopping)(stopped)

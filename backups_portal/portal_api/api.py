"""The portal's API: routes, OpenAPI description and exception handlers."""

from http import HTTPStatus
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from backups_portal.lib.bulkhead import FullError
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.refusals import RefusedError
from backups_portal.lib.validation_messages import request_sentence
from backups_portal.portal_api.problem_details import MEDIA_TYPE, ProblemError, problem
from backups_portal.portal_api.routes import (
    backup_evidence,
    backup_records,
    backups,
    checks,
    objectives,
    projects,
    restores,
    transfers,
)
from backups_portal.portal_api.schemas import Problem
from backups_portal.portal_api.token_auth import NO_TOKEN, Caller, Needs
from backups_portal.portal_api.view_wrapper import NOTHING, refusal
from backups_portal.projects.access import RightLostError
from backups_portal.projects.permission_mixins import record_refusal

ABOUT = (
    "What owners do with backups on the portal's pages, for programs. Backups are created on a "
    "schedule, so no request creates one. Times are in UTC; amounts of money are strings."
)
SCHEME = "AccessToken"


class JsonParser(Parser):
    """A parser of bodies in strict JSON."""

    def parse_body(self, request: HttpRequest) -> Any:
        return orjson.loads(request.body)


class JsonRenderer(BaseRenderer):
    """A renderer of JSON whose times end in Z."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return orjson.dumps(data, option=orjson.OPT_UTC_Z)


class Description(OpenAPISchema):
    """An OpenAPI schema with each operation's scope and the form of errors."""

    def operation_details(self, operation: Operation) -> JsonObject:
        details = super().operation_details(operation)
        return {**details, "summary": details["summary"].capitalize()}

    def operation_security(self, operation: Operation) -> list[JsonObject] | None:
        needs = [auth for auth in operation.auth_callbacks if isinstance(auth, Needs)]
        for auth in needs:
            self.securitySchemes[SCHEME] = auth.openapi_security_schema
        return [{SCHEME: [str(auth.scope)]} for auth in needs] or None

    def responses(self, operation: Operation) -> dict[Any, Any]:
        self.schemas.setdefault("Problem", Problem.model_json_schema())
        schema = {"$ref": "#/components/schemas/Problem"}
        return {
            **super().responses(operation),
            "default": {"description": "Problem", "content": {MEDIA_TYPE: {"schema": schema}}},
        }


class PortalApi(NinjaAPI):
    """An API with that OpenAPI schema."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: JsonObject | None = None
    ) -> OpenAPISchema:
        prefix = self.get_root_path(path_params or {}) if path_prefix is None else path_prefix
        return Description(self, prefix)


api = PortalApi(
    title="Portal API",
    version="1.0.0",
    description=ABOUT,
    docs_url=None,
    openapi_url="/openapi.json",
    renderer=JsonRenderer(),
    parser=JsonParser(),
    urls_namespace="portal-api",
)
ROUTES = (
    *(projects, objectives, checks, backups, backup_records, backup_evidence),
    *(restores, transfers),
)
for routes in ROUTES:
    api.add_router("", routes.router)


@api.exception_handler(ProblemError)
def refused(request: HttpRequest, error: ProblemError) -> HttpResponse:
    """Answer with the problem that a route raised."""
    return refusal(error)


@api.exception_handler(RefusedError)
def not_granted(request: HttpRequest, error: RefusedError) -> HttpResponse:
    """Answer a service's refusal, and name the invalid members of the body."""
    if error.field and error.status == HTTPStatus.BAD_REQUEST:
        return refusal(ProblemError.of_fields(error.message, error.errors))
    return refusal(ProblemError(HTTPStatus(error.status), error.message))


@api.exception_handler(AuthenticationError)
def unknown(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """Answer a request without a valid token."""
    return refusal(ProblemError(HTTPStatus.UNAUTHORIZED, NO_TOKEN))


@api.exception_handler(FullError)
def full(request: HttpRequest, error: FullError) -> HttpResponse:
    """Ask the client to retry later, because all slots are taken."""
    return refusal(
        ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after=error.seconds)
    )


@api.exception_handler(Http404)
def nothing(request: HttpRequest, error: Http404) -> HttpResponse:
    """Answer 404 for an object that is missing or belongs to somebody else."""
    return problem(HTTPStatus.NOT_FOUND, NOTHING)


@api.exception_handler(PermissionDenied)
def denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
    """Answer a member who may not do this; record a right lost meanwhile."""
    caller: Caller | None = getattr(request, "caller", None)
    if isinstance(error, RightLostError) and caller is not None:
        record_refusal(request, caller.account, error.project)
    return problem(HTTPStatus.FORBIDDEN, str(error))


@api.exception_handler(HttpError)
def unreadable(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Answer a body that is not JSON."""
    return problem(HTTPStatus.BAD_REQUEST, "The body is not valid JSON in UTF-8.")


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Name every invalid value of the address, the headers and the body."""
    errors = [
        {
            "field": _field(found["loc"]),
            "message": f"{request_sentence(found).rstrip('.')}.",
        }
        for found in error.errors
    ]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, errors[0]["message"], errors=errors)


def _field(place: tuple[str | int, ...]) -> str:
    """Join the path of an error: `("body", "body", "kinds", 0)` is "kinds.0"."""
    return ".".join(str(part) for part in place[2:]) or str(place[-1])

"""Refuse unknown or repeated query parameters, and version conditions.

If a misspelt parameter, the first of two values or a condition were silently ignored, a program
would do something that it did not mean.
"""

import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus

from django.urls import URLPattern
from ninja import NinjaAPI

from backups_portal.portal_api.problem_details import ProblemError
from backups_portal.portal_api.token_auth import ApiRequest, Parameters

NO_VERSIONS = "Nothing here has an ETag, so no If-Match can match. Nothing was changed."
CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


@cache
def query_parameters(api: NinjaAPI) -> dict[str, Parameters]:
    """Return the query parameters of each described path, by method."""
    return {
        path: {method.upper(): _of_query(operation) for method, operation in methods.items()}
        for path, methods in api.get_openapi_schema(path_prefix="")["paths"].items()
    }


def _of_query(operation: Mapping[str, list[Mapping[str, str]]]) -> frozenset[str]:
    parameters = operation.get("parameters", [])
    return frozenset(one["name"] for one in parameters if one["in"] == "query")


def described_path(pattern: URLPattern) -> str:
    """Return a URL pattern's path as OpenAPI writes it: `/projects/{slug}`."""
    return "/" + CONVERTER.sub(r"{\1}", str(pattern.pattern))


def check_preconditions(request: ApiRequest) -> None:
    """Refuse query parameters and conditions that would be ignored.

    Call this only after the access check.

    Raises:
        ProblemError: a parameter is unknown or repeated, or If-Match asks for a version.
    """
    known = request.parameters[request.method or ""]
    messages = {
        name: f"“{name}” is no parameter of this address."
        if name not in known
        else f"“{name}” is given more than once."
        for name, values in request.GET.lists()
        if name not in known or len(values) > 1
    }
    if messages:
        raise ProblemError.of_fields(next(iter(messages.values())), messages)
    # RFC 9110, 13.1.1: an asterisk only requires that the resource exists.
    if request.headers.get("If-Match", "*").strip() != "*":
        raise ProblemError(HTTPStatus.PRECONDITION_FAILED, NO_VERSIONS)

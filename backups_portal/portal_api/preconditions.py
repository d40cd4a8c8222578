"""What a request may ask for beside its body: known query parameters, and no version.

A parameter with a typing error, or a condition, that was silently ignored would let a program do
what it did not mean.
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
    """Return the query parameters of each path of an API's description."""
    return {
        path: {method.upper(): _of_query(operation) for method, operation in methods.items()}
        for path, methods in api.get_openapi_schema(path_prefix="")["paths"].items()
    }


def _of_query(operation: Mapping[str, list[Mapping[str, str]]]) -> frozenset[str]:
    parameters = operation.get("parameters", [])
    return frozenset(one["name"] for one in parameters if one["in"] == "query")


def described_path(pattern: URLPattern) -> str:
    """Return the path of an address as a description has it: `/projects/{slug}`."""
    return "/" + CONVERTER.sub(r"{\1}", str(pattern.pattern))


def check_preconditions(request: ApiRequest) -> None:
    """Refuse what would be ignored; only to callers whose right is known.

    Raises:
        ProblemError: names each unknown parameter, or says that there are no versions.
    """
    known = request.parameters[request.method or ""]
    unknown = [name for name in request.GET if name not in known]
    if unknown:
        messages = {name: f"“{name}” is no parameter of this address." for name in unknown}
        raise ProblemError.of_fields(messages[unknown[0]], messages)
    # RFC 9110, 13.1.1: an asterisk asks only that the thing exists.
    if request.headers.get("If-Match", "*").strip() != "*":
        raise ProblemError(HTTPStatus.PRECONDITION_FAILED, NO_VERSIONS)

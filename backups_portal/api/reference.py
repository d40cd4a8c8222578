"""The page that describes the API to people, out of its OpenAPI description."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backups_portal.api.main import api

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'"
)


@dataclass(frozen=True)
class Described:
    """One operation, as the page shows it."""

    method: str
    path: str
    summary: str
    about: str
    needs_token: bool
    parameters: list[dict[str, str]]


@dataclass
class Group:
    """The operations of one kind of resource."""

    name: str
    operations: list[Described] = field(default_factory=list)


def reference(request: HttpRequest) -> HttpResponse:
    """Every route that is there, by kind."""
    context = {"groups": groups(), "url": request.build_absolute_uri("/").rstrip("/")}
    response = render(request, "api/reference.html", context)
    response["Content-Security-Policy"] = POLICY
    return response


@cache
def groups() -> list[Group]:
    """The operations of the description, by their tags."""
    found: dict[str, Group] = {}
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method, operation in methods.items():
            name = next(iter(operation.get("tags", [])), "General")
            group = found.setdefault(name, Group(name))
            group.operations.append(_describe(method, path, operation))
    return list(found.values())


def _describe(method: str, path: str, operation: dict[str, Any]) -> Described:
    return Described(
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        about=operation.get("description", ""),
        needs_token=bool(operation.get("security")),
        parameters=[
            {"name": parameter["name"], "about": parameter.get("description", "")}
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query"
        ],
    )

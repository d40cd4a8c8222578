"""What a page says of an API, out of its OpenAPI description."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.utils.text import slugify
from ninja import NinjaAPI

from backups_portal.ui.curl_examples import command, curl_arguments


@dataclass(frozen=True)
class Described:
    """One operation, as the page shows it.

    Attributes:
        anchor: Where it is on the page.
        scopes: What its token must be allowed, where tokens have scopes.
        parameters: Of the query and of headers.
        members: Of the body.
        example: An address below the API's own, and what curl is given besides.
    """

    anchor: str
    method: str
    path: str
    summary: str
    about: str
    needs_token: bool
    scopes: list[str]
    parameters: list[dict[str, str]]
    members: list[dict[str, str]]
    example: tuple[str, list[str]]

    def curl(self, origin: str) -> str:
        """Return a command that calls it; `origin` has no slash at its end."""
        path, arguments = self.example
        return command(f"{origin}{path}", arguments)


@dataclass
class Group:
    """The operations of one kind of resource."""

    name: str
    operations: list[Described] = field(default_factory=list)


@cache
def groups_of(api: NinjaAPI, *, root: str) -> list[Group]:
    """Return the operations of an API's description, by their tags.

    Args:
        root: What the paths begin with, without a slash at its end.
    """
    description: Mapping[str, Any] = api.get_openapi_schema(path_prefix=root)
    found: dict[str, Group] = {}
    components = description.get("components", {})
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            name = next(iter(operation.get("tags", [])), "General")
            group = found.setdefault(name, Group(name))
            group.operations.append(_describe(method, path, operation, components))
    return list(found.values())


def _describe(
    method: str, path: str, operation: Mapping[str, Any], components: Mapping[str, Any]
) -> Described:
    security = operation.get("security") or []
    return Described(
        anchor=slugify(f"{method} {path}".replace("/", " ")),
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        about=operation.get("description", ""),
        needs_token=bool(security),
        scopes=[scope for scheme in security for scopes in scheme.values() for scope in scopes],
        parameters=[
            {"name": parameter["name"], "about": _about(parameter)}
            for parameter in operation.get("parameters", [])
            if parameter["in"] in ("query", "header")
        ],
        members=_members(operation, components.get("schemas", {})),
        example=curl_arguments(method, path, operation, components),
    )


def _members(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[dict[str, str]]:
    """List what a body that is one object may have."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    named = schemas.get(schema.get("$ref", "").rpartition("/")[2], {})
    return [
        {"name": name, "about": _about(member)}
        for name, member in named.get("properties", {}).items()
    ]


def _about(described: Mapping[str, Any]) -> str:
    found = described.get("description") or described.get("schema", {}).get("description", "")
    return str(found)

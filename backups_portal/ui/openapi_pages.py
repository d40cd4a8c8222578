"""The reference page of an API, from its OpenAPI description."""

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
        anchor: Its anchor on the page.
        scopes: The scopes that its token needs, if tokens have scopes.
        parameters: Those of the query and of headers.
        members: The body's members.
        example: The path and curl's other arguments, for `curl`.
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
        """Return a curl command that calls it; `origin` has no trailing slash."""
        path, arguments = self.example
        return command(f"{origin}{path}", arguments)


@dataclass
class Group:
    """The operations of one kind of resource."""

    name: str
    operations: list[Described] = field(default_factory=list)


@cache
def groups_of(api: NinjaAPI, *, root: str) -> list[Group]:
    """Return the operations of an API, grouped by tag.

    Args:
        root: The prefix of paths, without a trailing slash.
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
    """List the members of a body that is a single object."""
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

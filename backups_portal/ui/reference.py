"""What a page says of an API, out of its OpenAPI description."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Described:
    """One operation, as the page shows it.

    Attributes:
        scopes: What its token must be allowed, where tokens have scopes.
        parameters: Of the query and of headers.
        members: Of the body.
    """

    method: str
    path: str
    summary: str
    about: str
    needs_token: bool
    scopes: list[str]
    parameters: list[dict[str, str]]
    members: list[dict[str, str]]


@dataclass
class Group:
    """The operations of one kind of resource."""

    name: str
    operations: list[Described] = field(default_factory=list)


def groups_of(description: Mapping[str, Any]) -> list[Group]:
    """The operations of a description, by their tags."""
    found: dict[str, Group] = {}
    schemas = description.get("components", {}).get("schemas", {})
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            name = next(iter(operation.get("tags", [])), "General")
            group = found.setdefault(name, Group(name))
            group.operations.append(_describe(method, path, operation, schemas))
    return list(found.values())


def _describe(
    method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Described:
    security = operation.get("security") or []
    return Described(
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
        members=_members(operation, schemas),
    )


def _members(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a body may have that is one object."""
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
